"""Which stacks a run's time scales ask for: groups of good frames, the same however cut up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.frame_rows import FrameRow, load_frame_rows
from tianyu.pipelines.science.groupstack import Placement, place_in_group
from tianyu.pipelines.science.timegroups import TimeScale, consecutive_groups
from tianyu.schema.tables import Frame

UNIX_EPOCH_JD = 2440587.5
TIMES = ("jd_utc_mid", "bjd_tdb_mid", "dbjd_dxi", "dbjd_deta", "airmass")


@dataclass(frozen=True)
class EpochPlan:
    """One stack to be made.

    Attributes
    ----------
    scale, epoch : int
        Number of the time scale, and of the stack within it.
    time_scale : str
        Name of the time scale.
    middle : FrameRow
        On whose grid the frames are averaged.
    members : tuple of (FrameRow, Placement)
        The frames averaged, in the order of time.
    left_out : tuple of FrameRow
        Good frames of the group that are turned too far against its middle one.
    first_image : int
        The first frame of the group: whose chunk it is in makes the stack.
    """

    scale: int
    epoch: int
    time_scale: str
    middle: FrameRow
    members: tuple[tuple[FrameRow, Placement], ...]
    left_out: tuple[FrameRow, ...]
    first_image: int


def plan_epochs(frames: Sequence[FrameRow], scales: Sequence[TimeScale]) -> list[EpochPlan]:
    """Plan every stack of a night.

    Parameters
    ----------
    frames : sequence of FrameRow
        All frames of the night, with their verdicts, in the order of time.
    scales : sequence of TimeScale
    """
    good = [f for f in frames if f.is_good and f.transform and f.jd_utc_mid is not None]
    jd = np.array([f.jd_utc_mid for f in good], dtype=np.float64)
    plans = []
    for number, scale in enumerate(scales):
        for epoch, group in enumerate(consecutive_groups(jd, scale)):
            members = [good[i] for i in group]
            plans.append(_plan(number, epoch, scale.name, members))
    return plans


def load_plans(context: StepContext, scales: Sequence[TimeScale]) -> list[EpochPlan]:
    """Plan every stack of the run."""
    return plan_epochs(load_frame_rows(context), scales)


def _plan(scale: int, epoch: int, name: str, frames: Sequence[FrameRow]) -> EpochPlan:
    middle = frames[len(frames) // 2]
    transforms = [f.transform for f in frames if f.transform is not None]
    placements = place_in_group(transforms, len(frames) // 2, middle.shape)
    pairs = list(zip(frames, placements, strict=True))
    return EpochPlan(
        scale=scale,
        epoch=epoch,
        time_scale=name,
        middle=middle,
        members=tuple((f, p) for f, p in pairs if p is not None),
        left_out=tuple(f for f, p in pairs if p is None),
        first_image=frames[0].image_id,
    )


def load_times(
    context: StepContext, image_ids: Sequence[int]
) -> dict[int, Mapping[str, float | None]]:
    """Return times and airmass of frames of the run, by image."""
    query = select(Frame.image_id, *(getattr(Frame, name) for name in TIMES)).where(
        Frame.run_id == context.run_id
    )
    wanted = set(image_ids)
    with context.database.read() as connection:
        rows = connection.execute(query).mappings().all()
    return {
        row["image_id"]: {name: row[name] for name in TIMES}
        for row in rows
        if row["image_id"] in wanted
    }


def mean_times(
    plan: EpochPlan, times: Mapping[int, Mapping[str, float | None]]
) -> dict[str, float | datetime | None]:
    """Return mid-time, its gradients and airmass of a stack: means weighted by exposure.

    Frames without an exposure time weigh alike. What one frame lacks, the stack lacks.
    """
    frames = [frame for frame, _ in plan.members]
    exposures = [frame.exposure_s for frame in frames]
    known = all(exposures)
    weights = np.array([e if known and e else 1.0 for e in exposures])
    found: dict[str, float | datetime | None] = {}
    for name in TIMES:
        values = [times[frame.image_id][name] for frame in frames]
        found[name] = None
        if None not in values:
            first = float(values[0] or 0.0)
            # From the first one on: a Julian date has no digits to lose.
            steps = np.array([float(v or 0.0) - first for v in values])
            found[name] = first + float(np.average(steps, weights=weights))
    jd = found["jd_utc_mid"]
    days = jd - UNIX_EPOCH_JD if isinstance(jd, float) else None
    found["utc_mid"] = None if days is None else datetime(1970, 1, 1) + timedelta(days=days)
    return found
