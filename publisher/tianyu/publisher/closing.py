"""Closing an open night: its reduction as a whole."""

from dataclasses import replace

from sqlalchemy import Connection, func, select

from tianyu.pipelines.current import make_current
from tianyu.publisher.live import is_comparable, is_over
from tianyu.publisher.publishing import PublishOptions, publish
from tianyu.publisher.recipes import LIVE
from tianyu.publisher.registering import RegisteredObservation
from tianyu.publisher.step_options import options_for
from tianyu.schema.database import Database
from tianyu.schema.tables import Frame, Image, Observation, Run


def reduced_run(connection: Connection, observation_id: int) -> int | None:
    """Return the run that is shown of an observation, if it holds all frames that there are.

    Such a night is closed until another frame of it comes.
    """
    current = connection.execute(
        select(Run.id, Run.recipe)
        .join(Observation, Observation.current_run_id == Run.id)
        .where(Observation.id == observation_id)
    ).one_or_none()
    if current is None or current.recipe == LIVE.name:
        return None
    n_frames = select(func.count()).where(
        Image.observation_id == observation_id, Image.birth.is_(None)
    )
    n_judged = select(func.count()).where(Frame.run_id == current.id)
    is_whole = (connection.scalar(n_judged) or 0) >= (connection.scalar(n_frames) or 0)
    return int(current.id) if is_whole else None


def close_observation(
    database: Database, observation: RegisteredObservation, site_id: int, options: PublishOptions
) -> RegisteredObservation:
    """Publish the reduction of a whole night exactly as if it had never been open.

    The run of its frames as they came is shown until this one has ended.

    Parameters
    ----------
    database : Database
    observation : RegisteredObservation
        Of any kind of frames.
    site_id : int
    options : PublishOptions
        As for a folder of frames.
    """
    own = options_for(options, observation.kind)
    run = publish(database, observation.observation_id, site_id, own)
    if not run.is_new and observation.kind == "light":
        database.retry(lambda c: _show_if_done(c, run.run_id))
    return replace(observation, run=run)


def _show_if_done(connection: Connection, run_id: int) -> None:
    """Show a run that was there before: the first frames of the night were all of them."""
    if is_over(connection, run_id) and is_comparable(connection, run_id):
        make_current(connection, run_id)
