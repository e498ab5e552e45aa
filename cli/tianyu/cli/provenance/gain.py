"""The gain that the photon noise of a run rests on, as its steps worked it out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.detector_noise import noise_gain
from tianyu.pipelines.science.gain import MeasuredGain
from tianyu.schema import pid
from tianyu.schema.database import Database
from tianyu.schema.tables import Process, Queue, Site


def gain_of_run(
    database: Database, run_id: int, surroundings: Mapping[str, Any]
) -> MeasuredGain | None:
    """Return the gain of a run: stated, from its flats, or from its sky; None if nothing tells.

    Parameters
    ----------
    database : Database
    run_id : int
    surroundings : mapping
        What the steps of the run were told.
    """
    query = (
        select(Site.id, Site.root)
        .join(Queue, Queue.site_id == Site.id)
        .join(Process, Process.queue_id == Queue.id)
        .where(Process.run_id == run_id)
        .limit(1)
    )
    with database.read() as connection:
        site = connection.execute(query).one_or_none()
    if site is None:
        return None
    flat = surroundings.get("calibration", {}).get("flat")
    context = StepContext(database, 0, run_id, "explain", 0, site.id, Path(site.root))
    given = surroundings.get("gain_e_per_adu")
    return noise_gain(context, given, None if flat is None else pid.from_text(flat))
