"""Publishing around masters that failed, so that one bad set of flats does not cost a night."""

from dataclasses import replace

from sqlalchemy import select

from tianyu.publisher.publishing import PublishOptions, publish
from tianyu.publisher.registering import Registration
from tianyu.publisher.step_options import options_for
from tianyu.schema.database import Database
from tianyu.schema.states import State
from tianyu.schema.tables import Process


def publish_around_failures(
    database: Database, registration: Registration, site_id: int, options: PublishOptions
) -> Registration:
    """Publish anew what a failed master of the calibration keeps from ever starting.

    Masters that failed are passed over, so that the frames are calibrated with the next best,
    or without. Equal to what was given when there is nothing to be done.

    Parameters
    ----------
    database : Database
    registration : Registration
        With its runs published.
    site_id : int
    options : PublishOptions
        As they were published with.
    """
    renewed = []
    for observation in registration.observations:
        run = observation.run
        if run is None or not _is_blocked(database, run.run_id):
            renewed.append(observation)
            continue
        own = options_for(options, observation.kind)
        again = publish(database, observation.observation_id, site_id, own)
        # The same run again: it is blocked by a failure of its own.
        renewed.append(replace(observation, run=again if again.is_new else run))
    return replace(registration, observations=tuple(renewed))


def _is_blocked(database: Database, run_id: int) -> bool:
    query = select(Process.id).where(Process.run_id == run_id, Process.state == State.BLOCKED.value)
    with database.read() as connection:
        return connection.scalar(query.limit(1)) is not None
