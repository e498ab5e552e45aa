"""Saving products: their files at once and atomically, their rows with the success."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tianyu.pipelines.atomic import replacing
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.fits.write import write_image_fits
from tianyu.pipelines.products import NewImage, Products
from tianyu.pipelines.science.arrays import AnyArray


def save_image(
    context: StepContext,
    products: Products,
    kind: str,
    arrays: Sequence[tuple[str, AnyArray]],
    *,
    header: Mapping[str, Any],
    exposure_s: float | None = None,
    utc_mid: datetime | None = None,
    shape: tuple[int, ...] | None = None,
) -> NewImage:
    """Write a FITS file of one product and add its row.

    Parameters
    ----------
    context : StepContext
    products : Products
        Gets the row.
    kind : str
        Kind of the image; the file is named after it.
    arrays : sequence of (name, array)
        Images, the first of the shape of the product; the names become extension names.
    header : mapping
        How it was made; stored in the row, and its plain values in the file.
    exposure_s : float, optional
        Exposure time that the product stands for, seconds.
    utc_mid : datetime, optional
        Mean time of its frames.
    shape : (int, int), optional
        ``(ny, nx)`` of the product, if the first array has another one.
    """
    file = context.product_file(f"{kind}.fits")
    cards = {name[:60].upper(): v for name, v in header.items() if isinstance(v, str | int | float)}
    written = write_image_fits(file.absolute, arrays, cards)
    context.traffic.written += written.size_bytes
    height, width = shape or arrays[0][1].shape
    return products.image(
        NewImage(
            kind=kind,
            name=file.absolute.name,
            path=file.relative,
            size_bytes=written.size_bytes,
            checksum=written.sha256,
            width=width,
            height=height,
            run_id=context.run_id,
            birth=context.process_id,
            site_id=context.site_id,
            exposure_s=exposure_s,
            utc_mid=utc_mid,
            header=header,
        )
    )


def save_file(
    context: StepContext,
    products: Products,
    kind: str,
    ending: str,
    content: bytes,
    *,
    size: tuple[int, int] = (0, 0),
    header: Mapping[str, Any] | None = None,
) -> NewImage:
    """Write a product that is no FITS image, a picture or a table, and add its row.

    Parameters
    ----------
    context : StepContext
    products : Products
    kind : str
        Kind of the product; the file is named after it.
    ending : str
        File name ending, without the dot.
    content : bytes
    size : (int, int)
        Width and height of a picture, pixels.
    header : mapping, optional
        How it was made.
    """
    file = context.product_file(f"{kind}.{ending}")
    with replacing(file.absolute) as stream:
        stream.write(content)
    context.traffic.written += len(content)
    return products.image(
        NewImage(
            kind=kind,
            name=file.absolute.name,
            path=file.relative,
            size_bytes=len(content),
            checksum=hashlib.sha256(content).hexdigest(),
            width=size[0],
            height=size[1],
            run_id=context.run_id,
            birth=context.process_id,
            site_id=context.site_id,
            header=header or {},
        )
    )
