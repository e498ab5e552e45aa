"""Pass 1: calibrate and align a chunk of frames and stack those that look good."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from tianyu.pipelines.aligning import align_method
from tianyu.pipelines.calibration import Calibration, Calibrators
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.detector_noise import noise_gain
from tianyu.pipelines.earthrotation import bundled_rotation
from tianyu.pipelines.errors import PermanentError, UnusableDataError
from tianyu.pipelines.frames import FrameFile, raw_frames
from tianyu.pipelines.kept_out import NOTHING, KeptOut
from tianyu.pipelines.measuring import (
    FrameBuffers,
    MeasuredFrame,
    measure_frame,
    refuse_blank_frame,
    stars_of,
)
from tianyu.pipelines.products import Products
from tianyu.pipelines.reading import Arrival, read_ahead
from tianyu.pipelines.reference import Reference, load_reference
from tianyu.pipelines.science.align import align
from tianyu.pipelines.science.alignment import Alignment
from tianyu.pipelines.science.cosmics import check_possible
from tianyu.pipelines.science.stack import PartialStack
from tianyu.pipelines.science.starlist import StarList
from tianyu.pipelines.science.stated import disagreements
from tianyu.pipelines.science.times import FrameTimes, frame_times
from tianyu.pipelines.stacking import add_frame, finished, is_stackable, new_stack, save_stack
from tianyu.pipelines.step import StepParameters, step
from tianyu.pipelines.steps.choose_reference import exposure_ratio
from tianyu.pipelines.surroundings import FieldCentre, Place
from tianyu.schema.tables import Frame, SkyMesh, Stack


class CalibrateAlign(StepParameters):
    """Parameters of pass 1 over one chunk."""

    frames: tuple[int, ...] = Field(min_length=1, description="light frames of the chunk")
    position: int = Field(0, ge=0, description="order of the chunk in the night")
    calibration: Calibration = Calibration()
    place: Place = Place()
    field: FieldCentre = FieldCentre()
    sky_box_pix: int = Field(64, ge=8)
    trails: bool = Field(False, description="keep trails of satellites out of the template")
    cosmic_rays: bool = Field(
        False, description="keep cosmic rays out of the template: the extra `cosmics`"
    )
    gain_e_per_adu: float | None = Field(None, gt=0, description="for cosmic rays alone")


@dataclass
class Measured:
    """What became of one frame; ``image`` holds the pixels until :meth:`drop_pixels`."""

    file: FrameFile
    image: MeasuredFrame | None = None
    stars: StarList | None = None
    alignment: Alignment | None = None
    is_stacked: bool = False
    raw_checksum: str | None = None
    problem: str | None = None

    def drop_pixels(self) -> None:
        """Keep only the mesh: the pixels of a whole chunk would not fit."""
        if self.image is not None:
            self.image = MeasuredFrame(_NOTHING, _NO_MASK, self.image.sky)


@step(
    "calibrate_align",
    parameters=CalibrateAlign,
    reads=("light", "reference_frame"),
    writes=("frame", "sky_mesh", "partial_stack"),
)
def calibrate_and_align(parameters: CalibrateAlign, context: StepContext) -> Products:
    """Calibrate and align a chunk of frames; sum the good ones into a partial stack."""
    files = raw_frames(context, parameters.frames)
    reference = load_reference(context)
    calibrators = Calibrators(context, parameters.calibration, reference.saturation_adu)
    kept_out = _kept_out(parameters, context, reference)
    stack = new_stack(reference.canvas)
    results, buffers, box_pix = [], FrameBuffers(), parameters.sky_box_pix
    for done, arrival in enumerate(read_ahead(context, files, with_checksum=True)):
        context.progress(done, len(files))
        result = measure_and_align(arrival, reference, calibrators, box_pix, buffers, kept_out)
        if result.is_stacked and result.image and result.alignment:
            add_frame(stack, result.image, result.alignment)
        result.drop_pixels()
        results.append(result)
    return _products(context, parameters, results, finished(stack), kept_out)


def _kept_out(parameters: CalibrateAlign, context: StepContext, reference: Reference) -> KeptOut:
    """Return what the stack leaves out.

    Raises
    ------
    UnusableDataError
        If cosmic rays are wanted and cannot be told from stars.
    """
    if not parameters.cosmic_rays:
        return KeptOut(parameters.trails)
    gain = noise_gain(context, parameters.gain_e_per_adu, parameters.calibration.flat)
    known = None if gain is None else gain.e_per_adu
    check_possible(known, reference.stars.fwhm_pix_median)
    return KeptOut(parameters.trails, known)


_NOTHING = np.empty((0, 0), np.float32)
_NO_MASK = np.empty((0, 0), np.uint8)


def measure_and_align(
    arrival: Arrival,
    reference: Reference,
    calibrators: Calibrators,
    sky_box_pix: int,
    buffers: FrameBuffers,
    kept_out: KeptOut = NOTHING,
) -> Measured:
    """Measure one frame into the buffers; what is wrong is noted and the night goes on."""
    file = arrival.file
    # Of the bytes that were read: what a point is traced back to.
    result = Measured(file, raw_checksum=arrival.checksum)
    try:
        raw = arrival.raw()
        refuse_blank_frame(raw, file.name)
        if raw.pixels.shape != reference.frame.shape:
            raise UnusableDataError(
                f"{file.name} is {file.width}×{file.height} pixels, the reference frame "
                f"{reference.frame.width}×{reference.frame.height}; register it separately"
            )
        calibrator = calibrators.for_exposure(file.exposure_s)
        result.image = measure_frame(raw, calibrator, sky_box_pix=sky_box_pix, buffers=buffers)
        result.stars = stars_of(result.image)
        result.image = kept_out.mark(result.image, result.stars)
        ratio = exposure_ratio(file, reference.frame)
        result.alignment = align(
            reference.stars,
            result.stars,
            file.shape,
            exposure_ratio=ratio,
            method=align_method(),
        )
        looks_good = reference.limits.is_good(
            n_stars=float(result.stars.n_detected),
            sky_rms=result.image.sky.rms,
            transparency=result.alignment.transparency,
        )
        result.is_stacked = looks_good and is_stackable(result.alignment)
    except PermanentError as error:
        result.problem = str(error)
    return result


def add_frame_rows(
    products: Products,
    context: StepContext,
    results: list[Measured],
    place: Place,
    field: FieldCentre,
) -> FrameTimes:
    """Add a row and a sky mesh per frame; return the times of the frames."""
    times = frame_times(
        [r.file.utc_start for r in results],
        np.array([r.file.exposure_s or np.nan for r in results]),
        latitude_deg=place.latitude_deg,
        longitude_deg=place.longitude_deg,
        altitude_m=place.altitude_m,
        ra_deg=field.ra_deg,
        dec_deg=field.dec_deg,
        rotation=bundled_rotation(),
    )
    rows = [_frame_row(context, r, times, i) for i, r in enumerate(results)]
    products.rows(Frame, {name: [row[name] for row in rows] for name in rows[0]})
    meshes = [(r.file.image_id, r.image.sky.to_bytes()) for r in results if r.image is not None]
    products.rows(
        SkyMesh,
        {
            "run_id": [context.run_id] * len(meshes),
            "image_id": [image_id for image_id, _ in meshes],
            "mesh": [mesh for _, mesh in meshes],
        },
    )
    return times


def _products(
    context: StepContext,
    parameters: CalibrateAlign,
    results: list[Measured],
    stack: PartialStack,
    kept_out: KeptOut,
) -> Products:
    products = Products()
    times = add_frame_rows(products, context, results, parameters.place, parameters.field)
    stacked = [i for i, r in enumerate(results) if r.is_stacked]
    exposure_s = sum(results[i].file.exposure_s or 0.0 for i in stacked)
    header = {
        "position": parameters.position,
        "frames": [results[i].file.image_id for i in stacked],
        **kept_out.cards(),
    }
    image = save_stack(context, products, "partial_stack", stack, header, exposure_s=exposure_s)
    mid = float(np.mean(times.jd_utc_mid[stacked])) if stacked else None
    products.then(
        lambda connection: Products.insert_row(
            connection,
            Stack,
            image_id=image.known_id(),
            run_id=context.run_id,
            level=0,
            position=parameters.position,
            n_frames=len(stacked),
            jd_utc_mid=mid,
            exposure_s=exposure_s,
        )
    )
    return products


def _frame_row(context: StepContext, result: Measured, times: FrameTimes, i: int) -> dict[str, Any]:
    stars, image, alignment = result.stars, result.image, result.alignment
    transform = alignment.transform if alignment else None
    mid = times.utc_mid[i]
    return {
        "run_id": context.run_id,
        "image_id": result.file.image_id,
        "aligned_by": context.process_id,
        "is_aligned": alignment is not None,
        "is_stacked": result.is_stacked,
        "n_stars": stars.n_detected if stars else None,
        "n_matched": alignment.n_matched if alignment else None,
        "residual_pix": alignment.residual_rms_pix if alignment else None,
        "fwhm_pix": stars.fwhm_pix_median if stars else None,
        "elongation": stars.elongation_median if stars else None,
        "sky_level": image.sky.level if image else None,
        "sky_rms": image.sky.rms if image else None,
        "transparency": alignment.transparency if alignment else None,
        **{name: getattr(transform, name) if transform else None for name in _COEFFICIENTS},
        "utc_mid": None if np.isnat(mid) else mid.astype("datetime64[us]").item(),
        "jd_utc_mid": times.jd_utc_mid[i],
        "bjd_tdb_mid": times.bjd_tdb_mid[i],
        "dbjd_dxi": times.dbjd_dxi_day_per_deg[i],
        "dbjd_deta": times.dbjd_deta_day_per_deg[i],
        "airmass": times.airmass[i],
        "raw_checksum": result.raw_checksum,
        "hjd_utc_mid": times.hjd_utc_mid[i],
        "moon_distance_deg": times.moon_distance_deg[i],
        "moon_altitude_deg": times.moon_altitude_deg[i],
        "moon_illumination": times.moon_illumination[i],
        "time_note": disagreements(
            result.file.header.get("stated") or {}, times, i, result.file.exposure_s
        ),
        "problem": result.problem,
    }


_COEFFICIENTS = ("a", "b", "c", "d", "tx", "ty")
