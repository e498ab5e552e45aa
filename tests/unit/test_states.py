"""The states, and the changes between them, as a graph."""

import pytest
from sqlalchemy import String

from tianyu.schema.engine_tables import Attempt, Process
from tianyu.schema.states import (
    BAD,
    CANCELLABLE,
    RESCUABLE,
    TERMINAL,
    TRANSITIONS,
    ErrorKind,
    Outcome,
    State,
)


def reachable(start: State) -> set[State]:
    """Return every state that may follow, directly or not."""
    seen: set[State] = set()
    edge = {start}
    while edge:
        seen |= edge
        edge = {after for state in edge for after in TRANSITIONS[state]} - seen
    return seen


def test_success_is_final() -> None:
    assert TRANSITIONS[State.SUCCEEDED] == frozenset()


def test_everything_else_can_still_succeed() -> None:
    for state in State:
        assert State.SUCCEEDED in reachable(state)


def test_only_a_running_process_succeeds_or_fails() -> None:
    for end in (State.SUCCEEDED, State.FAILED):
        assert {s for s in State if end in TRANSITIONS[s]} == {State.RUNNING}


def test_only_ready_and_queued_ones_are_claimed() -> None:
    assert {s for s in State if State.RUNNING in TRANSITIONS[s]} == {State.READY, State.QUEUED}


def test_whatever_has_not_ended_can_be_cancelled() -> None:
    assert {s for s in State if State.CANCELLED in TRANSITIONS[s]} == set(State) - TERMINAL
    assert set(State) - TERMINAL - {State.RUNNING} == CANCELLABLE


def test_what_a_rescue_revives_keeps_children_from_starting() -> None:
    assert RESCUABLE < BAD
    assert {State.BLOCKED} == BAD - RESCUABLE
    assert State.SUCCEEDED not in RESCUABLE | BAD


def test_what_has_run_is_never_blocked_afterwards() -> None:
    for state in (State.RUNNING, State.FAILED):
        assert State.BLOCKED not in TRANSITIONS[state]


@pytest.mark.parametrize(
    ("words", "column"),
    [
        (State, Process.state),
        (ErrorKind, Process.error_kind),
        (ErrorKind, Attempt.error_kind),
        (Outcome, Attempt.outcome),
    ],
)
def test_every_word_fits_its_column(words: type[State], column: object) -> None:
    kind = column.type  # type: ignore[attr-defined]
    assert isinstance(kind, String)
    assert max(len(word) for word in words) <= (kind.length or 0)
