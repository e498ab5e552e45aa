"""One pass: calibrate, align and measure a chunk of frames at the sources of a known template."""

from dataclasses import replace

from pydantic import Field

from tianyu.pipelines.calibration import Calibration, Calibrators
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.detector_noise import noise_gain
from tianyu.pipelines.flux_plan import ANNULUS_FWHM, flux_columns, load_plan, measure_sources
from tianyu.pipelines.frames import raw_frames
from tianyu.pipelines.products import Products
from tianyu.pipelines.reference import load_reference
from tianyu.pipelines.science.apertures import ApertureFluxes
from tianyu.pipelines.step import StepParameters, step
from tianyu.pipelines.steps.calibrate_align import add_frame_rows, measure_and_align
from tianyu.pipelines.surroundings import FieldCentre, Place, SkyTemplate
from tianyu.schema.tables import Flux


class MeasureFrames(StepParameters):
    """Parameters of the one pass over a chunk."""

    frames: tuple[int, ...] = Field(min_length=1, description="light frames of the chunk")
    template: SkyTemplate
    calibration: Calibration = Calibration()
    place: Place = Place()
    field: FieldCentre = FieldCentre()
    sky_box_pix: int = Field(64, ge=8)
    gain_e_per_adu: float | None = Field(None, gt=0, description="None: fluxes stay in ADU")
    annulus_fwhm: tuple[float, float] = ANNULUS_FWHM


@step(
    "measure_frames",
    parameters=MeasureFrames,
    reads=("light", "reference_frame", "source_position", "aperture"),
    writes=("frame", "sky_mesh", "flux"),
)
def measure_frames(parameters: MeasureFrames, context: StepContext) -> Products:
    """Calibrate and align a chunk of frames and measure the known sources, reading it once."""
    files = raw_frames(context, parameters.frames)
    reference = load_reference(context)
    # Where only the sky tells the gain, it is the sky of the template's night: this one has not
    # been judged yet.
    earlier = replace(context, run_id=parameters.template.run_id)
    known = noise_gain(earlier, parameters.gain_e_per_adu, parameters.calibration.flat)
    plan = load_plan(context, parameters.annulus_fwhm, known)
    calibrators = Calibrators(context, parameters.calibration, reference.saturation_adu)
    results, measured = [], list[tuple[int, ApertureFluxes]]()
    for done, file in enumerate(files):
        context.progress(done, len(files))
        result = measure_and_align(context, file, reference, calibrators, parameters.sky_box_pix)
        # Nothing is stacked here.
        result.is_stacked = False
        if result.image is not None and result.alignment is not None:
            transform, gain = result.alignment.transform, parameters.gain_e_per_adu
            fluxes = measure_sources(result.image, transform, plan, gain)
            measured.append((file.image_id, fluxes))
        result.drop_pixels()
        results.append(result)
    products = Products()
    add_frame_rows(products, context, results, parameters.place, parameters.field)
    if measured:
        products.rows(Flux, flux_columns(context.run_id, plan, measured))
    return products
