"""What idle children do while another one prepares a night: load what its frames will take.

A night begins with one process that all others wait for. Without this the second child of a
consumer would begin with imports when the frames are shared out, and lose a second of each night.
"""

import importlib
import logging
from collections.abc import Iterator
from multiprocessing.connection import Connection as Pipe

from tianyu.pipelines.step import find_step
from tianyu.schema.transitions.claim import Claim

FRAMES_TO_COME = 32
"""A night of fewer frames is over before it would have been worth it."""

logger = logging.getLogger(__name__)


def comes_before_frames(claim: Claim) -> bool:
    """Tell whether many processes that measure frames will follow a process."""
    return (
        claim.command == "choose_reference"
        and len(claim.parameters.get("frames", ())) >= FRAMES_TO_COME
    )


def prepare(pipe: Pipe) -> None:
    """Load what measures frames, until there is something in the pipe.

    Whatever goes wrong is left for the first process that needs it, whose error says more.
    """
    try:
        for _ in _pieces():
            if pipe.poll():
                return
    except Exception as error:  # noqa: BLE001 - no process of the database is being worked on
        logger.warning("could not prepare for the frames of a night: %s", error)


def _pieces() -> Iterator[None]:
    yield
    for command in ("calibrate_align", "extract_flux"):
        find_step(command)
        yield
    yield from importlib.import_module("tianyu.pipelines.rehearsal").rehearse()
