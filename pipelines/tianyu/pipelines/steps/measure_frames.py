"""One pass: calibrate, align and measure a chunk of frames at the sources of a known template."""

from dataclasses import dataclass, field, replace

from pydantic import Field

from tianyu.pipelines.aperture_shapes import (
    FrameEllipse,
    ShapeOfApertures,
    add_ellipses,
    ellipse_of_frame,
    shape_or_round,
)
from tianyu.pipelines.calibration import Calibration, Calibrators
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.detector_noise import noise_gain
from tianyu.pipelines.flux_plan import (
    ANNULUS_FWHM,
    FluxPlan,
    flux_columns,
    load_plan,
    measure_sources,
)
from tianyu.pipelines.frames import raw_frames
from tianyu.pipelines.measuring import FrameBuffers
from tianyu.pipelines.passing_light import (
    PassingLight,
    check_wanted,
    has_trail,
    mark_passing_light,
    note_trails,
)
from tianyu.pipelines.products import Products
from tianyu.pipelines.reading import read_ahead
from tianyu.pipelines.reference import load_reference
from tianyu.pipelines.science.apertures import ApertureFluxes
from tianyu.pipelines.science.times import FrameTimes
from tianyu.pipelines.step import step
from tianyu.pipelines.steps.calibrate_align import Measured, add_frame_rows, measure_and_align
from tianyu.pipelines.surroundings import FieldCentre, Place, SkyTemplate
from tianyu.schema.tables import Flux


class MeasureFrames(PassingLight, ShapeOfApertures):
    """Parameters of the one pass over a chunk."""

    frames: tuple[int, ...] = Field(min_length=1, description="light frames of the chunk")
    template: SkyTemplate
    calibration: Calibration = Calibration()
    place: Place = Place()
    field: FieldCentre = FieldCentre()
    sky_box_pix: int = Field(64, ge=8)
    gain_e_per_adu: float | None = Field(None, gt=0, description="None: fluxes stay in ADU")
    annulus_fwhm: tuple[float, float] = ANNULUS_FWHM


@dataclass(frozen=True)
class MeasuredChunk:
    """What the one pass found in a chunk of frames.

    Attributes
    ----------
    results : list of Measured
        One per frame, without its pixels.
    plan : FluxPlan
    fluxes : list of (int, ApertureFluxes)
        Images that could be aligned, and the fluxes of all sources of the plan in them.
    crossed : list of str
        Frames in which trails were found.
    ellipses : dict of FrameEllipse
        Shapes of the apertures, by image, where ellipses were asked for.
    """

    results: list[Measured]
    plan: FluxPlan
    fluxes: list[tuple[int, ApertureFluxes]]
    crossed: list[str]
    ellipses: dict[int, FrameEllipse] = field(default_factory=dict)


@step(
    "measure_frames",
    parameters=MeasureFrames,
    reads=("light", "reference_frame", "source_position", "aperture"),
    writes=("frame", "sky_mesh", "aperture_ellipse", "flux"),
)
def measure_frames(parameters: MeasureFrames, context: StepContext) -> Products:
    """Calibrate and align a chunk of frames and measure the known sources, reading it once."""
    products = Products()
    add_chunk(products, parameters, context, measure_chunk(parameters, context))
    return products


def measure_chunk(parameters: MeasureFrames, context: StepContext) -> MeasuredChunk:
    """Measure every source of the template in every frame of a chunk, each frame read once."""
    files = raw_frames(context, parameters.frames)
    reference = load_reference(context)
    # Where only the sky tells the gain, it is the sky of the template's night: this one has not
    # been judged yet.
    earlier = replace(context, run_id=parameters.template.run_id)
    known = noise_gain(earlier, parameters.gain_e_per_adu, parameters.calibration.flat)
    plan = load_plan(context, parameters.annulus_fwhm, known)
    check_wanted(parameters, plan)
    calibrators = Calibrators(context, parameters.calibration, reference.saturation_adu)
    chunk = MeasuredChunk([], plan, [], [])
    buffers, box_pix = FrameBuffers(), parameters.sky_box_pix
    for done, arrival in enumerate(read_ahead(context, files, with_checksum=True)):
        context.progress(done, len(files))
        result = measure_and_align(arrival, reference, calibrators, box_pix, buffers)
        # Nothing is stacked here.
        result.is_stacked = False
        if result.image is not None and result.alignment is not None:
            transform, gain = result.alignment.transform, parameters.gain_e_per_adu
            fwhm = result.stars.fwhm_pix_median if result.stars else None
            image = mark_passing_light(result.image, transform, plan, fwhm, parameters)
            ellipse = ellipse_of_frame(image, transform, plan, fwhm, parameters)
            if ellipse is not None:
                chunk.ellipses[result.file.image_id] = ellipse
            fluxes = measure_sources(image, transform, plan, gain, shape_or_round(ellipse))
            chunk.fluxes.append((result.file.image_id, fluxes))
            if has_trail(image, parameters):
                chunk.crossed.append(result.file.name)
        result.drop_pixels()
        chunk.results.append(result)
    return chunk


def add_chunk(
    products: Products, parameters: MeasureFrames, context: StepContext, chunk: MeasuredChunk
) -> FrameTimes:
    """Add the rows of frames and fluxes; return the times of the frames."""
    note_trails(products, context, chunk.crossed)
    times = add_frame_rows(products, context, chunk.results, parameters.place, parameters.field)
    add_ellipses(products, context.run_id, chunk.ellipses)
    if chunk.fluxes:
        products.rows(Flux, flux_columns(context.run_id, chunk.plan, chunk.fluxes))
    return times
