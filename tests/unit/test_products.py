"""Rows that a step made, committed in the transaction of its success."""

import numpy as np
import pytest
from sqlalchemy import select

from tianyu.pipelines.products import NewImage, Products
from tianyu.schema.tables import Aperture, FrameVerdict, Image, ImageCopy, SkyMesh, Stack


@pytest.fixture
def new_image(installation):
    return NewImage(
        kind="stack",
        name="42.1.stack.fits",
        path="runs/000007/stack_frames/42.1.stack.fits",
        size_bytes=5760,
        checksum="ab" * 32,
        width=32,
        height=16,
        run_id=7,
        birth=42,
        site_id=installation.site_id,
        header={"frames": [1, 2], "level": 1},
    )


def read(installation, *columns):
    with installation.database.read() as connection:
        return [tuple(row) for row in connection.execute(select(*columns))]


def write(installation, products):
    with installation.database.write() as connection:
        products.write(connection)


def test_rows_come_from_columns_and_what_is_not_finite_is_null(installation):
    products = Products()
    products.rows(
        Aperture,
        {
            "run_id": [7, 7],
            "aperture": np.arange(2),
            "radius_pix": np.array([1.5, 2.5], dtype=np.float32),
            "fwhm_factor": np.array([0.7, np.nan]),
        },
    )
    write(installation, products)
    assert read(installation, Aperture.__table__) == [(7, 0, 1.5, 0.7), (7, 1, 2.5, None)]


def test_single_rows_take_numpy_values_and_bytes(installation, new_image):
    products = Products()
    image = products.image(new_image)
    products.then(
        lambda connection: Products.insert_row(
            connection, SkyMesh, run_id=7, image_id=image.known_id(), mesh=b"\x00\xff"
        )
    )
    products.then(
        lambda connection: Products.insert_row(
            connection, FrameVerdict, run_id=np.int64(7), image_id=image.known_id(),
            is_good=np.True_, reject_bits=np.uint8(3), reason="",
        )
    )  # fmt: skip
    write(installation, products)
    assert read(installation, SkyMesh.mesh) == [(b"\x00\xff",)]
    assert read(installation, FrameVerdict.is_good, FrameVerdict.reject_bits) == [(True, 3)]


def test_an_image_is_a_row_with_a_copy_and_then_has_an_id(installation, new_image):
    products = Products()
    image = products.image(new_image)
    with pytest.raises(RuntimeError, match=r"42\.1\.stack\.fits has no id before its row"):
        image.known_id()
    products.then(
        lambda connection: Products.insert_row(
            connection, Stack, image_id=image.known_id(), run_id=7, level=1, position=0,
            n_frames=2, jd_utc_mid=float("nan"), exposure_s=60.0,
        )
    )  # fmt: skip
    write(installation, products)
    assert read(installation, Image.id, Image.birth, Image.width, Image.header) == [
        (image.known_id(), 42, 32, {"frames": [1, 2], "level": 1})
    ]
    assert read(installation, ImageCopy.image_id, ImageCopy.path, ImageCopy.checksum) == [
        (image.known_id(), new_image.path, "ab" * 32)
    ]
    assert read(installation, Stack.image_id, Stack.jd_utc_mid) == [(image.known_id(), None)]


def test_everything_or_nothing_is_written(installation, new_image):
    products = Products()
    products.image(new_image)
    products.then(lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(installation, products)
    assert read(installation, Image.id) == []


def test_a_transaction_may_be_repeated(installation, new_image):
    """After a deadlock the writers run again and see the new ids."""
    products = Products()
    image = products.image(new_image)
    ids = []
    products.then(lambda _: ids.append(image.known_id()))
    with installation.database.write() as connection:
        products.write(connection)
        connection.rollback()
    write(installation, products)
    assert read(installation, Image.id) == [(ids[-1],)]
    assert len(ids) == 2


def test_writers_run_in_the_order_in_which_they_were_added(installation):
    products, seen = Products(), []
    for i in range(3):
        products.then(lambda _, i=i: seen.append(i))
    write(installation, products)
    assert seen == [0, 1, 2]


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"run_id": [1], "apertures": [1]}, "table aperture has no column apertures"),
        ({"run_id": [1, 2], "aperture": [1]}, "differ in length"),
    ],
)
def test_columns_that_do_not_fit_the_table_are_refused(installation, columns, text):
    products = Products()
    products.rows(Aperture, columns)
    with pytest.raises(ValueError, match=text):
        write(installation, products)
