"""Places at which a program can be made to die, to prove that nothing is lost there.

A point is one call, which does nothing unless ``TIANYU_CRASH_AT`` names it:
``TIANYU_CRASH_AT=manager.before_publish,exit,/tmp/once`` ends the first process that gets
there by ``os._exit``, ``…,kill,…`` by SIGKILL; the file is made at that moment, and once it is
there nobody else dies. It is meant for tests and for nobody else.
"""

import os
import signal
from enum import StrEnum
from pathlib import Path

VARIABLE = "TIANYU_CRASH_AT"

EXIT_CODE = 77
"""Of a process that ended at a crash point by ``os._exit``."""


class CrashPoint(StrEnum):
    """Every place; between two of them lies one step that cannot be half done."""

    FRAME_COPIED = "publisher.frame_copied"
    """A raw frame lies at the site, and no row names it."""
    BEFORE_PUBLISH_COMMIT = "publisher.before_commit"
    AFTER_PUBLISH_COMMIT = "publisher.after_commit"

    BEFORE_TAKE_COMMIT = "manager.before_take_commit"
    """Processes are marked as queued, in a transaction that is still open."""
    AFTER_COMMIT_BEFORE_PUBLISH = "manager.after_commit_before_publish"
    """They are queued and no message was sent."""
    AFTER_PUBLISH_BEFORE_CONFIRM = "manager.after_publish_before_confirm"
    """The broker has the messages, and the rows do not say so."""
    AFTER_CONFIRM = "manager.after_confirm"
    AFTER_REAP_BEFORE_COMMIT = "manager.after_reap_before_commit"
    AFTER_BLOCKING = "manager.after_blocking"
    """Descendants were told of a failure or a rescue, their own ones not yet."""

    BEFORE_CLAIM = "consumer.before_claim"
    """A message was received."""
    BEFORE_CLAIM_COMMIT = "consumer.before_claim_commit"
    AFTER_CLAIM_BEFORE_ACKNOWLEDGE = "consumer.after_claim_before_acknowledge"
    AFTER_CLAIM_BEFORE_ASSIGN = "consumer.after_claim_before_assign"
    """The message is gone, the process is ours, and no child knows of it."""
    BEFORE_FAILURE_RECORDED = "consumer.before_failure_recorded"
    AFTER_REPORT = "consumer.after_report"
    """The end of an attempt is recorded, and nobody was woken."""

    BEFORE_STEP = "child.before_step"
    AFTER_STEP = "child.after_step"
    """The files are written, and no row names them."""
    AFTER_PRODUCTS = "child.after_products_before_success"
    """The rows of the products stand in a transaction that is still open."""
    AFTER_SUCCESS = "child.after_success_before_next"
    """So does the success."""
    BEFORE_COMMIT = "child.before_commit"
    """So does the claim on the next process."""
    AFTER_COMMIT = "child.after_commit_before_report"
    """All of it is committed, and the consumer has not heard of it."""

    FILE_BEGUN = "file.begun"
    """A temporary file is there, and nothing in it."""
    FILE_WRITTEN = "file.written_before_rename"
    FILE_RENAMED = "file.renamed"


def _plan() -> tuple[str, str, Path] | None:
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    point, way, once = text.split(",", 2)
    return CrashPoint(point).value, way, Path(once)


_PLAN = _plan()


def crash_point(point: CrashPoint) -> None:
    """Die here if that is planned; otherwise cost nothing."""
    if _PLAN is not None and _PLAN[0] == point:
        _die(_PLAN[1], _PLAN[2])


def _die(way: str, once: Path) -> None:
    try:
        once.touch(exist_ok=False)
    except FileExistsError:
        return
    if way == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(EXIT_CODE)
