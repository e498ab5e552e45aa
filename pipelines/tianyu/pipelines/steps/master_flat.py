"""Master flat: the relative response of every pixel."""

import math
from typing import Any, Literal

import numpy as np
from pydantic import Field

from tianyu.pipelines.bad_pixel_lists import CARD, bad_pixel_list
from tianyu.pipelines.calibration import Calibration, dark_scale
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.fits import FlatKind
from tianyu.pipelines.frames import FrameFile, product_of, raw_frames, read_frame
from tianyu.pipelines.products import Products
from tianyu.pipelines.rows import FrameSet, open_frames, strip_rows
from tianyu.pipelines.run_notes import add_notes, note_left_out
from tianyu.pipelines.saving import save_image
from tianyu.pipelines.science.arrays import AnyArray, FloatArray
from tianyu.pipelines.science.flats import FlatMethod, choose_flat_method, flat_levels, master_flat
from tianyu.pipelines.science.flats import MasterFlat as MasterFlatImage
from tianyu.pipelines.science.gain import MeasuredGain, gain_of_flat_pair
from tianyu.pipelines.step import StepParameters, step

N_PAIR = 2


class MasterFlat(StepParameters):
    """Parameters of the master flat."""

    frames: tuple[int, ...] = Field(min_length=1, description="images of kind flat, one filter")
    calibration: Calibration = Calibration()
    method: Literal["auto", "mode", "clipped_mean", "weighted_mean"] = Field(
        "auto",
        description="auto: clipped mean for twilight flats, the mode if they are three or four, "
        "weighted mean for dome flats",
    )


@step("master_flat", parameters=MasterFlat, reads=("flat",), writes=("master_flat",))
def make_master_flat(parameters: MasterFlat, context: StepContext) -> Products:
    """Combine flats into the relative response of every pixel."""
    flats = open_frames(context, raw_frames(context, parameters.frames), sees_light=True)
    masters = _masters(context, parameters.calibration)
    dark = _dark(context, parameters.calibration)
    levels = _levels(flats, masters, dark)
    flats = flats.without(
        [_without_light(f, level) for f, level in zip(flats.frames, levels, strict=True)]
    )
    levels = levels[levels > 0]
    exposures = [frame.exposure_s for frame in flats.frames]
    known = np.array(exposures, dtype=float) if all(exposures) else None
    stated = _stated_kind(flats)
    are_twilight = None if stated is None else stated is FlatKind.TWILIGHT
    method = (
        choose_flat_method(levels, known, are_twilight=are_twilight)
        if parameters.method == "auto"
        else FlatMethod(parameters.method)
    )
    flat = master_flat(
        flats.readers,
        flats.shape,
        method=method,
        levels=levels,
        strip_rows=strip_rows(flats.frames),
        dark_scales=_scales(flats, dark),
        **masters,
    )
    products = Products()
    header: dict[str, Any] = {
        "n_frames": flat.n_frames,
        "frames": [frame.image_id for frame in flats.frames],
        "method": flat.method.value,
        "flat_kind": None if stated is None else stated.value,
        "levels_adu": [round(float(level), 1) for level in flat.levels],
    }
    gain = _gain(context, flats, masters.get("bias"), parameters.calibration.bias)
    if gain is not None:
        header |= {"measured_gain_e_per_adu": gain.e_per_adu, "measured_gain_error": gain.error}
        # Photons of all flats make the response uncertain, pixel by pixel.
        header["pixel_noise"] = 1 / math.sqrt(gain.e_per_adu * float(sum(flat.levels)))
    bad = bad_pixel_list("flat", flat.pixels)
    header[CARD] = bool(bad)
    save_image(context, products, "master_flat", [("FLAT", flat.pixels), *bad], header=header)
    how_made = _how_made(flat, stated, parameters.method)
    products.then(lambda connection: add_notes(connection, context.run_id, {"flat": how_made}))
    note_left_out(products, context.run_id, flats.left_out)
    return products


def _gain(
    context: StepContext, flats: FrameSet, bias: AnyArray | None, birth: int | None
) -> MeasuredGain | None:
    """Measure the gain from the first two flats; a pair needs their bias to be taken off."""
    if len(flats.frames) < N_PAIR or bias is None or birth is None:
        return None
    noise_adu = product_of(context, birth, "master_bias").header.get("read_noise_adu", 0.0)
    pair = [
        np.asarray(read(0, flats.shape[0]), np.float32) - bias for read in flats.readers[:N_PAIR]
    ]
    return gain_of_flat_pair(pair[0], pair[1], float(noise_adu))


def _masters(context: StepContext, calibration: Calibration) -> dict[str, AnyArray]:
    """Read the masters that are subtracted from each flat."""
    masters = {}
    for name, birth in (("bias", calibration.bias), ("dark", calibration.dark)):
        if birth is not None:
            masters[name] = read_frame(context, product_of(context, birth, f"master_{name}"))
    return masters


def _dark(context: StepContext, calibration: Calibration) -> FrameFile | None:
    return (
        None if calibration.dark is None else product_of(context, calibration.dark, "master_dark")
    )


def _scales(flats: FrameSet, dark: FrameFile | None) -> FloatArray | None:
    """Return the exposure of each flat over that of the dark."""
    if dark is None:
        return None
    return np.array([dark_scale(dark, f.exposure_s) for f in flats.frames])


def _levels(flats: FrameSet, masters: dict[str, AnyArray], dark: FrameFile | None) -> FloatArray:
    rows = strip_rows(flats.frames)
    scales = _scales(flats, dark)
    return flat_levels(flats.readers, flats.shape, dark_scales=scales, strip_rows=rows, **masters)


def _without_light(frame: FrameFile, level_adu: float) -> str | None:
    if level_adu > 0:
        return None
    return f"{frame.name}: the mean is {level_adu:.6g} ADU above the bias, it holds no light"


def _stated_kind(flats: FrameSet) -> FlatKind | None:
    """Return what lit the flats where all of their headers and names say the same."""
    kinds = {frame.header.get("flat_kind") for frame in flats.frames}
    kind = kinds.pop() if len(kinds) == 1 else None
    return None if kind is None else FlatKind(kind)


def _how_made(flat: MasterFlatImage, stated: FlatKind | None, asked: str) -> str:
    """Say in words how the flats were combined, and why so."""
    how = flat.method.value.replace("_", " ")
    if asked != "auto":
        return f"{flat.n_frames} flats, combined by {how} as the parameter says"
    if stated is not None:
        return f"{flat.n_frames} {stated} flats by their headers or names, combined by {how}"
    light = "steady" if flat.method is FlatMethod.WEIGHTED_MEAN else "changing as in twilight"
    return f"{flat.n_frames} flats, their light {light} ({_span(flat)}), combined by {how}"


def _span(flat: MasterFlatImage) -> str:
    return f"{flat.levels.min():.0f} to {flat.levels.max():.0f} ADU"
