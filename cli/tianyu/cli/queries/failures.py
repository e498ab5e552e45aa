"""What failed, and why, in words."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from tianyu.cli.words import utc_of
from tianyu.schema.pid import to_text
from tianyu.schema.states import State
from tianyu.schema.tables import Process

_ENDED_BADLY = (
    select(
        Process.id,
        Process.command,
        Process.state,
        Process.attempt,
        Process.error_kind,
        Process.error_text,
        Process.finished_us,
    )
    .where(
        Process.run_id == bindparam("run"),
        Process.state.in_([State.FAILED.value, State.CANCELLED.value]),
    )
    .order_by(Process.id)
)


@dataclass(frozen=True)
class FailedProcess:
    """One process that failed or was cancelled."""

    process: str
    step: str
    state: str
    kind: str | None
    reason: str
    attempts: int
    finished: datetime | None


def read_failures(connection: Connection, run: int) -> list[FailedProcess]:
    """Return the failed and cancelled processes of a run, in the order of its graph."""
    return [
        FailedProcess(
            process=to_text(row.id),
            step=row.command,
            state=row.state,
            kind=row.error_kind,
            reason=reason_of(row.error_text),
            attempts=row.attempt,
            finished=utc_of(row.finished_us),
        )
        for row in connection.execute(_ENDED_BADLY, {"run": run})
    ]


def reason_of(error_text: str | None) -> str:
    r"""Return the one line of an error that says what happened.

    Of a traceback that is the line after the last of the calls, of any other text the first.

    Examples
    --------
    >>> reason_of("MissingInputError: no flat in filter r\ndetails follow")
    'MissingInputError: no flat in filter r'
    >>> reason_of('Traceback (most recent call last):\n  File "a.py", line 1\nKeyError: 3\n')
    'KeyError: 3'
    """
    lines = [line for line in (error_text or "").splitlines() if line.strip()]
    if not lines:
        return "no reason was given"
    calls = [i for i, line in enumerate(lines) if line.startswith("  ")]
    is_traceback = any(line.startswith("Traceback (most recent call last)") for line in lines)
    if is_traceback and calls and calls[-1] + 1 < len(lines):
        return lines[calls[-1] + 1].strip()
    return lines[0].strip()
