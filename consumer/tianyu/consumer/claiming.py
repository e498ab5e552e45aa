"""Where a consumer's work comes from.

The consumer claims only for children that are idle: by the messages that announce work, or
straight from the database where that is the queue. A child that succeeds claims its next
process in the very transaction of its success, which saves a transaction and two messages
per process. Its token follows from the one before, so that the consumer finds such a claim
even if the child dies before it can tell of it.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy import Connection, bindparam, select

from tianyu.broker.interface import Broker, Hint
from tianyu.schema.crashpoints import CrashPoint, crash_point
from tianyu.schema.database import Database
from tianyu.schema.engine_tables import Process
from tianyu.schema.states import State
from tianyu.schema.transitions.claim import (
    Claim,
    claim_next,
    claim_queued,
    new_token,
    read_claim,
)

LOOK_S = 5.0
"""A consumer that got no message for so long looks for work itself: the broker may be away."""

_FOLLOWING = uuid.UUID("5c2f3a52-0d6e-4f0b-9d53-6a1d3a0f6d11")

_UNDER_TOKEN = select(Process.id).where(
    Process.state == State.RUNNING.value, Process.claim_token == bindparam("token")
)


class Claimer(Protocol):
    """Finds the next process for an idle child."""

    def claim(self, wait_s: float = 0.0) -> Claim | None:
        """Return a claimed process, or None when there is none right now.

        Parameters
        ----------
        wait_s : float
            How long to wait for an announcement, where there are any.
        """
        ...


@dataclass(frozen=True)
class DirectClaimer:
    """Claims straight from the database, the most urgent process first."""

    database: Database
    queue_ids: Sequence[int]
    worker_id: str
    lease_s: float
    claimable: Sequence[State]

    def claim(self, wait_s: float = 0.0) -> Claim | None:
        """Return the most urgent process, claimed."""
        del wait_s
        # Tried once: whoever asks also watches over children, and comes again.
        with self.database.write() as connection:
            return self.take(connection, new_token())

    def take(self, connection: Connection, token: str) -> Claim | None:
        """Claim the most urgent process in a transaction of the caller's."""
        return claim_next(
            connection,
            self.queue_ids,
            self.worker_id,
            self.lease_s,
            token,
            from_states=self.claimable,
        )


@dataclass(frozen=True)
class _Try:
    """One attempt to follow a hint, or to find work without one.

    The token is drawn before the transaction: when the answer to its COMMIT is lost, the
    repetition finds the claim by its token instead of making another one.
    """

    hint: Hint | None
    token: str = field(default_factory=new_token)


@dataclass
class HintedClaimer:
    """Claims what a broker's messages hint at, and looks around by itself now and then.

    Children that succeed claim on without messages, so that many a hint comes too late. It
    still says that there was work in the queue; the most urgent process is claimed instead.
    """

    database: Database
    broker: Broker
    queue_ids: Sequence[int]
    worker_id: str
    lease_s: float
    claimable: Sequence[State]
    clock: Callable[[], float] = time.monotonic
    _unanswered: _Try | None = field(default=None, init=False)
    _next_look: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._direct = DirectClaimer(
            self.database, self.queue_ids, self.worker_id, self.lease_s, self.claimable
        )
        self._next_look = self.clock() + LOOK_S

    def claim(self, wait_s: float = 0.0) -> Claim | None:
        """Follow hints until something can be claimed or none is left.

        A hint is acknowledged once the database has answered, whatever the answer: the row
        decides, and a stale hint is simply dropped. While the database is away the hint is
        kept and tried again by the next call.
        """
        while (following := self._unanswered or self._next_try(wait_s)) is not None:
            is_repeated, self._unanswered = following is self._unanswered, following
            crash_point(CrashPoint.BEFORE_CLAIM)
            with self.database.write() as connection:
                claim = self._follow(connection, following, is_repeated)
                crash_point(CrashPoint.BEFORE_CLAIM_COMMIT)
            crash_point(CrashPoint.AFTER_CLAIM_BEFORE_ACKNOWLEDGE)
            self._unanswered = None
            if following.hint is not None:
                self.broker.acknowledge(following.hint)
            elif claim is None:
                return None
            if claim is not None:
                return claim
        return None

    def _follow(self, connection: Connection, this: _Try, is_repeated: bool) -> Claim | None:
        if is_repeated and (claim := claim_under(connection, this.token)) is not None:
            return claim
        if this.hint is not None:
            claim = claim_queued(
                connection, this.hint.process_id, self.queue_ids, self.worker_id, self.lease_s,
                this.token,
            )  # fmt: skip
            if claim is not None:
                return claim
        return self._direct.take(connection, this.token)

    def _next_try(self, wait_s: float) -> _Try | None:
        hint = self.broker.receive(wait_s)
        if hint is not None:
            self._next_look = self.clock() + LOOK_S
            return _Try(hint)
        if self.clock() < self._next_look:
            return None
        self._next_look = self.clock() + LOOK_S
        return _Try(None)


def following_token(token: str) -> str:
    """Return the token of the claim that a child makes after succeeding with this one."""
    return str(uuid.uuid5(_FOLLOWING, token))


def claim_under(connection: Connection, token: str) -> Claim | None:
    """Return the running process of a token, or None."""
    process_id = connection.scalar(_UNDER_TOKEN, {"token": token})
    return None if process_id is None else read_claim(connection, process_id, token)
