"""States of a process, and which may follow which.

The functions in :mod:`tianyu.schema.transitions` are the only code that writes a state;
a test compares what they do with :data:`TRANSITIONS`.
"""

from enum import StrEnum


class State(StrEnum):
    """Where a process stands."""

    WAITING = "waiting"
    """At least one parent has not succeeded yet."""
    READY = "ready"
    """Every parent has succeeded; may be dispatched once ``not_before`` has passed."""
    QUEUED = "queued"
    """Handed to the broker; the message is a hint, this row is the truth."""
    RUNNING = "running"
    """Claimed by one worker under a lease."""
    SUCCEEDED = "succeeded"
    """Its products are committed."""
    FAILED = "failed"
    """Permanently failed, or out of a budget; only a rescue revives it."""
    CANCELLED = "cancelled"
    """Stopped by a person."""
    BLOCKED = "blocked"
    """Not started, and an ancestor failed or was cancelled."""


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})
"""States that no worker or manager leaves by itself."""

BAD = frozenset({State.FAILED, State.CANCELLED, State.BLOCKED})
"""States that keep children from starting."""

CANCELLABLE = frozenset({State.WAITING, State.READY, State.QUEUED, State.BLOCKED})
"""States in which cancelling takes effect at once."""

RESCUABLE = frozenset({State.FAILED, State.CANCELLED})
"""States that a rescue leaves."""

TRANSITIONS: dict[State, frozenset[State]] = {
    State.WAITING: frozenset({State.READY, State.BLOCKED, State.CANCELLED}),
    State.READY: frozenset({State.QUEUED, State.RUNNING, State.CANCELLED}),
    State.QUEUED: frozenset({State.RUNNING, State.READY, State.CANCELLED}),
    State.RUNNING: frozenset({State.SUCCEEDED, State.FAILED, State.READY, State.CANCELLED}),
    State.BLOCKED: frozenset({State.WAITING, State.READY, State.CANCELLED}),
    # It has run, so its parents succeeded; a cancelled one may still have parents to wait for.
    State.FAILED: frozenset({State.READY}),
    State.CANCELLED: frozenset({State.READY, State.WAITING, State.BLOCKED}),
    State.SUCCEEDED: frozenset(),
}
"""Every allowed change of state."""


class Outcome(StrEnum):
    """How one attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LEASE_LOST = "lease_lost"
    CANCELLED = "cancelled"
    RELEASED = "released"
    """Given back unfinished, without fault: the worker was asked to stop."""


class ErrorKind(StrEnum):
    """Why an attempt failed, and so whether repeating it can help."""

    PERMANENT = "permanent"
    """The same input gives the same error: never retried."""
    TRANSIENT = "transient"
    """The world outside failed: retried with a growing pause."""
    UNEXPECTED = "unexpected"
    """An unforeseen error or a crash: retried within the budget."""
    LEASE_LOST = "lease_lost"
    """The worker vanished; counted in a budget of its own."""
