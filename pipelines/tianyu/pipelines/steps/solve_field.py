"""Find the template on the sky: by the headers' own WCS, else by its stars."""

import numpy as np
from pydantic import Field
from sqlalchemy import select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.frame_rows import FrameRow, load_frame_rows
from tianyu.pipelines.frames import FrameFile, product_of, read_frame
from tianyu.pipelines.platesolving import (
    MAX_RMS_ARCSEC,
    Hints,
    SolvedField,
    index_files,
    solve_stars,
)
from tianyu.pipelines.products import Products
from tianyu.pipelines.run_notes import tell
from tianyu.pipelines.science.detection import detect_sources
from tianyu.pipelines.step import ProcessId, StepParameters, step
from tianyu.pipelines.surroundings import FieldCentre
from tianyu.pipelines.template_wcs import store_wcs, wcs_of_headers
from tianyu.schema.settings import load_settings
from tianyu.schema.tables import Image, Instrument, Observation, Reduction

DETECTION_SIGMA = 10.0
"""The engine wants the bright stars only."""


class SolveField(StepParameters):
    """Parameters of the plate solving."""

    template: ProcessId = Field(description="process that made the template")
    field: FieldCentre = FieldCentre()
    anew: bool = Field(False, description="solve even where headers have a WCS")
    search_radius_deg: float = Field(5.0, gt=0, le=180, description="about the stated centre")
    time_limit_s: float = Field(60.0, gt=0, description="of a search, seconds")
    max_rms_arcsec: float = Field(MAX_RMS_ARCSEC, gt=0, description="larger residuals are refused")


@step(
    "solve_field",
    parameters=SolveField,
    reads=("template", "frame_verdict"),
    writes=("sky_wcs",),
)
def solve_field(parameters: SolveField, context: StepContext) -> Products:
    """Give the template world coordinates, or say why it has none."""
    products = Products()
    file = product_of(context, parameters.template, "template")
    frames = load_frame_rows(context)
    wcs = None if parameters.anew else wcs_of_headers(context, frames)
    if wcs is not None:
        products.then(lambda c: store_wcs(c, context, file.image_id, wcs, "header"))
        words = f"by the headers, {wcs.pixel_scale_arcsec:.4g}″ per pixel, not verified"
        tell(products, context.run_id, sky=words)
        return products
    try:
        solved = _solve(parameters, context, file, frames)
    except UnusableDataError as error:
        tell(products, context.run_id, sky=f"pixel coordinates only: {error}")
        return products
    found = solved.solution
    products.then(
        lambda c: store_wcs(
            c,
            context,
            file.image_id,
            found.wcs,
            solved.index_file,
            rms_arcsec=found.rms_arcsec,
            n_stars=found.n_stars,
            solved_s=solved.seconds,
        )
    )
    words = (
        f"solved with {solved.index_file}: {found.wcs.pixel_scale_arcsec:.4f}″ per pixel, "
        f"{found.rms_arcsec:.2f}″ rms over {found.n_stars} stars, in {solved.seconds:.1f} s"
    )
    tell(products, context.run_id, sky=words)
    return products


def _solve(
    parameters: SolveField, context: StepContext, file: FrameFile, frames: list[FrameRow]
) -> SolvedField:
    files = index_files(load_settings().index_folders)
    # Without index files there is nothing to look for: no pixel need be read.
    x, y = _bright_stars(context, file) if files else (np.empty(0), np.empty(0))
    return solve_stars(
        x,
        y,
        _hints(parameters, context, frames),
        files,
        time_limit_s=parameters.time_limit_s,
        max_rms_arcsec=parameters.max_rms_arcsec,
    )


def _bright_stars(context: StepContext, file: FrameFile) -> tuple[np.ndarray, np.ndarray]:
    """Return the template's stars in pixels of the reference frame, brightest first."""
    mean = read_frame(context, file, extension="MEAN")
    count = read_frame(context, file, extension="COUNT")
    found = detect_sources(mean, count, threshold_sigma=DETECTION_SIGMA)
    order = np.argsort(-found.flux, kind="stable")
    x0, y0 = int(file.header["canvas_x0"]), int(file.header["canvas_y0"])
    return found.x[order] + x0, found.y[order] + y0


def _hints(parameters: SolveField, context: StepContext, frames: list[FrameRow]) -> Hints:
    """Collect what headers, instrument and surroundings say."""
    instrument = (
        select(Instrument.pixel_scale_arcsec)
        .join(Observation, Observation.instrument_id == Instrument.id)
        .join(Reduction, Reduction.observation_id == Observation.id)
        .where(Reduction.run_id == context.run_id)
    )
    header = select(Image.header).where(Image.id == frames[0].image_id)
    with context.database.read() as connection:
        scale = connection.scalar(instrument)
        if scale is None:
            scale = (connection.scalar(header) or {}).get("pixel_scale_arcsec")
    return Hints(
        scale_arcsec=scale,
        ra_deg=parameters.field.ra_deg,
        dec_deg=parameters.field.dec_deg,
        radius_deg=parameters.search_radius_deg,
    )
