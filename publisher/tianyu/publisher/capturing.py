"""Publishing a series of exposures: one process for a consumer of the group ``camera``."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from tianyu.pipelines.step import find_step, validate
from tianyu.publisher.collisions import retry_collisions
from tianyu.publisher.publishing import PIDS
from tianyu.schema.database import Database
from tianyu.schema.directory import code_version, ensure_queue
from tianyu.schema.pid import to_text
from tianyu.schema.transitions.publish import (
    ProcessSpec,
    RunSpec,
    insert_graph,
    insert_run,
    run_key,
)

CAPTURE_STEP = "capture"
VERSION = 1


def publish_capture(
    database: Database, site_id: int, values: Mapping[str, Any], *, priority: int = 100
) -> int:
    """Publish a series of exposures and return its run.

    Unlike a reduction it may be asked for twice with the same words, and is taken twice.

    Parameters
    ----------
    database : Database
    site_id : int
        Where the camera is.
    values : mapping
        Parameters of the step ``capture``.
    priority : int
        Smaller runs first.

    Raises
    ------
    InvalidParametersError
        If the parameters do not validate.
    """
    step = find_step(CAPTURE_STEP)
    parameters = validate(CAPTURE_STEP, values).model_dump(mode="json")

    def work(connection: Connection) -> int:
        (process_id,) = PIDS.draw(1)
        key = run_key(CAPTURE_STEP, VERSION, parameters, [to_text(process_id)])
        run = RunSpec(key, CAPTURE_STEP, VERSION, parameters, code_version())
        run_id = insert_run(connection, run)
        queue_id = ensure_queue(connection, site_id, step.group)
        process = ProcessSpec(
            id=process_id,
            command=CAPTURE_STEP,
            parameters=parameters,
            queue_id=queue_id,
            priority=priority,
            repeatable=step.repeatable,
        )
        insert_graph(connection, run_id, [process])
        return run_id

    return retry_collisions(database, work)
