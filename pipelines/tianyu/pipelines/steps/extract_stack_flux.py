"""Fluxes on stacks of frames that follow each other: faint sources on several time scales."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from tianyu.pipelines.calibration import Calibrators
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.detector_noise import noise_gain
from tianyu.pipelines.flux_plan import FluxPlan, load_plan, stars_on, with_forced_flag
from tianyu.pipelines.frames import raw_frames
from tianyu.pipelines.measuring import (
    FrameBuffers,
    MeasuredFrame,
    light_reader,
    remeasure_frame,
)
from tianyu.pipelines.passing_light import check_wanted, mark_passing_light
from tianyu.pipelines.products import Products
from tianyu.pipelines.reading import Arrival, read_ahead
from tianyu.pipelines.reference import load_reference
from tianyu.pipelines.science.aperturegeometry import ApertureGeometry
from tianyu.pipelines.science.apertures import ApertureFluxes, measure_light
from tianyu.pipelines.science.arrays import AnyArray, FloatArray, FloatImage
from tianyu.pipelines.science.groupstack import GroupStack, positions_in_stack
from tianyu.pipelines.science.sky import SkyModel
from tianyu.pipelines.science.timegroups import TimeScale
from tianyu.pipelines.sky_meshes import load_sky_meshes
from tianyu.pipelines.stack_epochs import EpochPlan, load_plans, load_times, mean_times
from tianyu.pipelines.step import step
from tianyu.pipelines.steps.extract_flux import ChunkPhotometry, load_pattern
from tianyu.schema.tables import StackEpoch, StackFlux


class ExtractStackFlux(ChunkPhotometry):
    """Parameters of the stacks that begin in one chunk."""

    time_scales: tuple[str, ...] = Field(
        min_length=1, description="of the stacks: frames (5) or minutes (10min)"
    )

    @field_validator("time_scales")
    @classmethod
    def _named(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        try:
            names = tuple(TimeScale.parse(text).name for text in texts)
        except Exception as error:
            raise ValueError(str(error)) from error
        if len(set(names)) < len(names):
            raise ValueError(f"a time scale is there twice: {', '.join(names)}")
        return names


@dataclass
class _Open:
    """A stack that is being made."""

    plan: EpochPlan
    stack: GroupStack
    sky_variance: FloatArray


@step(
    "extract_stack_flux",
    parameters=ExtractStackFlux,
    reads=("light", "frame", "frame_verdict", "sky_mesh", "source_position", "aperture"),
    writes=("stack_flux",),
)
def extract_stack_flux(parameters: ExtractStackFlux, context: StepContext) -> Products:
    """Average good frames that follow each other and measure every source in the mean."""
    scales = [TimeScale.parse(text) for text in parameters.time_scales]
    own = set(parameters.frames)
    epochs = [plan for plan in load_plans(context, scales) if plan.first_image in own]
    products = Products()
    if not epochs:
        return products
    # Of all stacks that begin in this chunk, also frames of the next: however the night is
    # cut into chunks, a stack holds the same frames.
    frames = {frame.image_id: frame for plan in epochs for frame, _ in plan.members}
    times = load_times(context, list(frames))
    gain = noise_gain(context, parameters.gain_e_per_adu, parameters.calibration.flat)
    sources = load_plan(context, parameters.annulus_fwhm, gain)
    check_wanted(parameters, sources)
    measured = _measure_all(context, parameters, epochs, sources)
    rows = [_epoch_row(context, plan, mean_times(plan, times)) for plan in epochs]
    products.rows(StackEpoch, {name: [row[name] for row in rows] for name in rows[0]})
    products.rows(StackFlux, _columns(context.run_id, sources, measured))
    return products


def _measure_all(
    context: StepContext,
    parameters: ExtractStackFlux,
    epochs: Sequence[EpochPlan],
    sources: FluxPlan,
) -> list[tuple[EpochPlan, ApertureFluxes]]:
    """Read each frame once, in the order of time, and add it to every stack that holds it."""
    image_ids = list(dict.fromkeys(f.image_id for plan in epochs for f, _ in plan.members))
    files = raw_frames(context, image_ids)
    skies = load_sky_meshes(context, image_ids)
    pattern = load_pattern(context, parameters.pattern)
    saturation = load_reference(context).saturation_adu
    calibrators = Calibrators(context, parameters.calibration, saturation)
    waiting = {id(plan): {f.image_id: p for f, p in plan.members} for plan in epochs}
    opened: dict[int, _Open] = {}
    done: list[tuple[EpochPlan, ApertureFluxes]] = []
    buffers = FrameBuffers()
    for number, arrival in enumerate(read_ahead(context, files)):
        context.progress(number, len(files))
        file, image = arrival.file, None
        for plan in epochs:
            placement = waiting[id(plan)].pop(file.image_id, None)
            if placement is None:
                continue
            image = image or mark_passing_light(
                _calibrated(calibrators, arrival, skies[file.image_id], pattern, buffers),
                placement.transform,
                sources,
                None,
                parameters,
            )
            if id(plan) not in opened:
                stack = GroupStack([p for _, p in plan.members], plan.middle.shape)
                opened[id(plan)] = _Open(plan, stack, np.zeros(len(sources.x)))
            stack_now = opened[id(plan)]
            stack_now.stack.add(image.pixels, image.mask, placement)
            x, y = placement.transform.apply(sources.x, sources.y)
            stack_now.sky_variance += skies[file.image_id].rms_at(x, y) ** 2
            if not waiting[id(plan)]:
                done.append((plan, _measure(opened.pop(id(plan)), sources, parameters)))
    return done


def _calibrated(
    calibrators: Calibrators,
    arrival: Arrival,
    sky: SkyModel,
    pattern: FloatImage | None,
    buffers: FrameBuffers,
) -> MeasuredFrame:
    calibrator = calibrators.for_exposure(arrival.file.exposure_s)
    return remeasure_frame(arrival.raw(), calibrator, sky, pattern, buffers=buffers)


def _measure(made: _Open, sources: FluxPlan, parameters: ExtractStackFlux) -> ApertureFluxes:
    """Measure the mean of n frames: fluxes per frame, with the photons of all of them.

    n frames of gain g hold n·g electrons per ADU of their mean, and the scatter of a sky pixel
    is that of the sum over n.
    """
    placements = [p for _, p in made.plan.members]
    n = len(placements)
    pixels, mask = made.stack.mean()
    x, y = positions_in_stack(placements, made.stack.shape, sources.x, sources.y)
    x, y = x - made.stack.canvas.x0, y - made.stack.canvas.y0
    sky_rms = np.sqrt(made.sky_variance) / n
    gain = parameters.gain_e_per_adu
    fluxes = measure_light(
        light_reader(pixels, mask, stars_on(x, y, float(np.median(sky_rms)), sources)),
        x,
        y,
        ApertureGeometry(sources.radii_pix, sources.annulus_pix),
        sky_rms=sky_rms,
        gain=None if gain is None else n * gain,
        noise_gain=None if sources.noise_gain is None else n * sources.noise_gain,
        neighbour_distance_pix=sources.neighbour_pix,
        fwhm_pix=sources.fwhm_pix,
        tells_noise=~sources.is_forced,
    )
    if gain is not None:
        for name in ("flux", "flux_error", "background", "background_rms"):
            getattr(fluxes, name)[...] /= n
    return with_forced_flag(fluxes, sources.is_forced)


def _epoch_row(context: StepContext, plan: EpochPlan, times: dict[str, Any]) -> dict[str, Any]:
    frames = [frame for frame, _ in plan.members]
    known = [f.transparency for f in frames if f.transparency is not None]
    return {
        "run_id": context.run_id,
        "scale": plan.scale,
        "epoch": plan.epoch,
        "time_scale": plan.time_scale,
        "birth": context.process_id,
        "image_id": plan.middle.image_id,
        "frames": {
            "averaged": [frame.image_id for frame in frames],
            "left_out": [frame.image_id for frame in plan.left_out],
        },
        "n_frames": len(frames),
        "exposure_s": sum(frame.exposure_s or 0.0 for frame in frames),
        **times,
        "transparency": float(np.mean(known)) if len(known) == len(frames) else None,
    }


def _columns(
    run_id: int, sources: FluxPlan, measured: list[tuple[EpochPlan, ApertureFluxes]]
) -> dict[str, AnyArray]:
    """Return the rows as columns in the order of the table's key."""
    measured = sorted(measured, key=lambda item: (item[0].scale, item[0].epoch))
    shape = (len(sources.source_id), len(measured), len(sources.radii_pix))

    def per_radius(name: str) -> AnyArray:
        return np.stack([getattr(f, name) for _, f in measured], axis=1).reshape(-1)

    def per_source(name: str) -> AnyArray:
        values = np.stack([getattr(f, name) for _, f in measured], axis=1)
        return np.broadcast_to(values[:, :, None], shape).reshape(-1)

    def spread(values: AnyArray, axis: int) -> AnyArray:
        lengths = [1, 1, 1]
        lengths[axis] = len(values)
        return np.broadcast_to(values.reshape(lengths), shape).reshape(-1)

    return {
        "run_id": np.full(np.prod(shape), run_id),
        "source_id": spread(sources.source_id, 0),
        "scale": spread(np.array([plan.scale for plan, _ in measured]), 1),
        "epoch": spread(np.array([plan.epoch for plan, _ in measured]), 1),
        "aperture": spread(np.arange(shape[2]), 2),
        "radius_pix": spread(np.array(sources.radii_pix), 2),
        "flux": per_radius("flux"),
        "flux_error": per_radius("flux_error"),
        "background": per_source("background"),
        "background_rms": per_source("background_rms"),
        "flags": per_radius("flags"),
    }
