"""States of a process, and which may follow which.

The functions in :mod:`tianyu.schema.transitions` are the only code that writes a state;
a test compares what they do with :data:`REGISTRY`.
"""

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Transition:
    """One allowed change of state.

    Attributes
    ----------
    start, end : State
    cause : str
        What happened.
    actor : str
        Who does it: publisher, manager, consumer or operator.
    place : str
        Function that does it, ``module.function`` below :mod:`tianyu.schema.transitions`.
    """

    start: State
    end: State
    cause: str
    actor: str
    place: str


_ROWS = (
    ("waiting", "ready", "its last parent succeeded", "consumer", "finish.succeed"),
    ("waiting", "blocked", "an ancestor ended badly", "manager", "blocking.reconcile"),
    ("waiting", "cancelled", "cancel", "operator", "operator.cancel"),
    ("ready", "queued", "handed to the broker", "manager", "dispatch.take_ready"),
    ("ready", "running", "claimed (embedded)", "consumer", "claim.claim_next"),
    ("ready", "cancelled", "cancel", "operator", "operator.cancel"),
    ("queued", "running", "claimed", "consumer", "claim.claim_queued"),
    ("queued", "ready", "never confirmed", "manager", "dispatch.return_unconfirmed"),
    ("queued", "ready", "message lost", "manager", "dispatch.return_lost"),
    ("queued", "cancelled", "cancel", "operator", "operator.cancel"),
    ("running", "succeeded", "products committed", "consumer", "finish.succeed"),
    ("running", "ready", "failed, to be tried again", "consumer", "finish.fail"),
    ("running", "failed", "failed for good", "consumer", "finish.fail"),
    ("running", "cancelled", "failed after cancel", "consumer", "finish.fail"),
    ("running", "ready", "given back", "consumer", "finish.release"),
    ("running", "cancelled", "given back after cancel", "consumer", "finish.release"),
    ("running", "cancelled", "stopped on cancel", "consumer", "finish.cancel_running"),
    ("running", "ready", "worker vanished", "manager", "leases.reap"),
    ("running", "failed", "worker vanished too often", "manager", "leases.reap"),
    ("running", "cancelled", "worker vanished after cancel", "manager", "leases.reap"),
    ("blocked", "waiting", "ancestors freed", "manager", "blocking.reconcile"),
    ("blocked", "ready", "ancestors freed", "manager", "blocking.reconcile"),
    ("blocked", "cancelled", "cancel", "operator", "operator.cancel"),
    # It has run, so its parents succeeded; a cancelled one may still have parents to wait for.
    ("failed", "ready", "rescue", "operator", "operator.rescue"),
    ("cancelled", "ready", "rescue", "operator", "operator.rescue"),
    ("cancelled", "waiting", "rescue", "operator", "operator.rescue"),
    ("cancelled", "blocked", "rescue", "operator", "operator.rescue"),
)

REGISTRY: tuple[Transition, ...] = tuple(
    Transition(State(start), State(end), *rest) for start, end, *rest in _ROWS
)
"""Every allowed change of state, and the only function that makes it for that cause.

``docs/state-machine.md`` shows it as a diagram and a table, which a test compares.
"""

INITIAL = frozenset({State.READY, State.WAITING, State.BLOCKED})
"""States in which a publishing transaction leaves its new processes."""

TRANSITIONS: dict[State, frozenset[State]] = {
    start: frozenset(t.end for t in REGISTRY if t.start is start) for start in State
}
"""Which states may follow a state; from :data:`REGISTRY`."""


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
