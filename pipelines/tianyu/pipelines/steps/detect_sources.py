"""Find the sources of the template, name the registered targets among them, fix the apertures."""

from collections.abc import Mapping

import numpy as np
from pydantic import Field
from sqlalchemy import select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.forced_positions import place_positions, with_positions
from tianyu.pipelines.frame_rows import FrameRow, load_frame_rows
from tianyu.pipelines.frames import product_of, read_frame
from tianyu.pipelines.products import Products
from tianyu.pipelines.run_notes import MISSING_TARGETS, Notes, add_notes
from tianyu.pipelines.science.detection import detect_sources
from tianyu.pipelines.science.wcs import LinearWcs
from tianyu.pipelines.source_writing import write_sources
from tianyu.pipelines.step import ProcessId, StepParameters, step
from tianyu.pipelines.surroundings import FieldCentre
from tianyu.pipelines.targets import TargetPosition, with_targets
from tianyu.pipelines.template_wcs import stored_wcs, wcs_of_headers
from tianyu.schema.tables import Aperture, Target

RADII_FWHM = (0.7, 0.9, 1.2, 1.6, 2.0, 2.6)
"""Aperture radii in units of the night's median FWHM: the best for a faint star is near 0.7,
for a bright one in changing seeing and on few pixels beyond 2."""


class DetectSources(StepParameters):
    """Parameters of the detection."""

    template: ProcessId = Field(description="process that made the template")
    targets: tuple[TargetPosition, ...] = ()
    field: FieldCentre = FieldCentre()
    threshold_sigma: float = Field(5.0, gt=0)
    min_coverage: float = Field(0.5, gt=0, le=1)
    part_stars: bool = Field(
        False, description="in crowded fields: seek stars in the wings of others as well"
    )
    radii_fwhm: tuple[float, ...] = Field(RADII_FWHM, description="aperture radii / median FWHM")
    radii_pix: tuple[float, ...] = Field((), description="further aperture radii, pixels")


@step(
    "detect_sources",
    parameters=DetectSources,
    reads=("template", "frame_verdict"),
    writes=("source_position", "aperture"),
)
def detect(parameters: DetectSources, context: StepContext) -> Products:
    """Detect sources on the template and keep the ids of those already known on this sky."""
    file = product_of(context, parameters.template, "template")
    mean = read_frame(context, file, extension="MEAN")
    count = read_frame(context, file, extension="COUNT")
    x0, y0 = int(file.header["canvas_x0"]), int(file.header["canvas_y0"])
    found = detect_sources(
        mean,
        count,
        threshold_sigma=parameters.threshold_sigma,
        min_coverage=parameters.min_coverage,
        part_stars=parameters.part_stars,
    )
    frames = load_frame_rows(context)
    fwhm_pix = _median_fwhm(frames)
    wcs = _template_wcs(context, frames, file.image_id)
    sources = with_targets(
        found,
        [target for target in parameters.targets if not target.is_forced],
        origin=(x0, y0),
        shape=mean.shape,
        transforms={frame.image_id: frame.transform for frame in frames},
        wcs=wcs,
        fwhm_pix=fwhm_pix,
    )
    placed = place_positions([t for t in parameters.targets if t.is_forced], frames, wcs)
    sources = with_positions(sources, placed)
    if not len(sources.x):
        raise UnusableDataError(
            f"no source above {parameters.threshold_sigma} sigma on the template "
            f"{file.name}; lower threshold_sigma or give target positions"
        )
    products, template = Products(), file.image_id
    _add_apertures(products, context, parameters, fwhm_pix)
    notes = _target_notes(context, sources.not_found)
    products.then(lambda connection: add_notes(connection, context.run_id, notes))
    products.then(
        lambda connection: write_sources(
            connection, context, parameters.field, parameters.targets, template, sources
        )
    )
    if placed.refused:
        lines = list(placed.refused)
        products.then(lambda c: add_notes(c, context.run_id, {"positions": lines}))
    return products


def _target_notes(context: StepContext, not_found: Mapping[int, str]) -> Notes:
    """Say which registered targets are not measured, and why."""
    if not not_found:
        return {}
    query = select(Target.id, Target.name).where(Target.id.in_(not_found)).order_by(Target.name)
    with context.database.read() as connection:
        notes = [
            f"target {row.name!r} is not measured: {not_found[row.id]}"
            for row in connection.execute(query)
        ]
    return {MISSING_TARGETS: notes}


def _median_fwhm(frames: list[FrameRow]) -> float:
    widths = [f.fwhm_pix for f in frames if f.is_good and f.fwhm_pix is not None]
    if not widths:
        raise UnusableDataError("no good frame has a measured FWHM; no aperture can be chosen")
    return float(np.median(widths))


def _template_wcs(
    context: StepContext, frames: list[FrameRow], template_image_id: int
) -> LinearWcs | None:
    """Return the solution that was stored; of a recipe without one, that of the headers."""
    with context.database.read() as connection:
        stored = stored_wcs(connection, template_image_id)
    return stored or wcs_of_headers(context, frames)


def _add_apertures(
    products: Products, context: StepContext, parameters: DetectSources, fwhm_pix: float
) -> None:
    radii = [(factor * fwhm_pix, factor) for factor in parameters.radii_fwhm]
    radii += [(radius, float("nan")) for radius in parameters.radii_pix]
    radii.sort()
    products.rows(
        Aperture,
        {
            "run_id": [context.run_id] * len(radii),
            "aperture": list(range(len(radii))),
            "radius_pix": [radius for radius, _ in radii],
            "fwhm_factor": [factor for _, factor in radii],
        },
    )
