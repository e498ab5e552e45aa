"""Where a consumer's work comes from.

Where messages announce the work, the consumer follows them, one claim per idle child. Where
the database itself is the queue, the consumer claims only for children that are idle; a
child that succeeds claims its next process in the very transaction of its success, which
saves a transaction and two messages per process. Its token follows from the one before, so
that the consumer finds such a claim even if the child dies before it can tell of it.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy import Connection, bindparam, select

from tianyu.broker.interface import Broker, Hint
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
    """Claims straight from the ready processes of the database."""

    database: Database
    queue_ids: Sequence[int]
    worker_id: str
    lease_s: float

    def claim(self, wait_s: float = 0.0) -> Claim | None:
        """Return the most urgent ready process, claimed."""
        del wait_s
        # Tried once: whoever asks also watches over children, and comes again.
        with self.database.write() as connection:
            return claim_next(connection, self.queue_ids, self.worker_id, self.lease_s)


@dataclass
class HintedClaimer:
    """Claims the processes that a broker's messages hint at."""

    database: Database
    broker: Broker
    queue_ids: Sequence[int]
    worker_id: str
    lease_s: float
    _unanswered: tuple[Hint, str] | None = field(default=None, init=False)

    def claim(self, wait_s: float = 0.0) -> Claim | None:
        """Follow hints until one can be claimed or none is left.

        A hint is acknowledged once the database has answered, whatever the answer: the row
        decides, and a stale hint is simply dropped. While the database is away the hint is
        kept and tried again by the next call.
        """
        while (following := self._unanswered or self._receive(wait_s)) is not None:
            self._unanswered = hint, token = following
            with self.database.write() as connection:
                claim = claim_queued(
                    connection, hint.process_id, self.queue_ids, self.worker_id, self.lease_s, token
                )
            self._unanswered = None
            self.broker.acknowledge(hint)
            if claim is not None:
                return claim
        return None

    def _receive(self, wait_s: float) -> tuple[Hint, str] | None:
        hint = self.broker.receive(wait_s)
        # The token is drawn before the transaction: when the answer to its COMMIT is lost, the
        # repetition finds the claim by its token instead of taking it for somebody else's.
        return None if hint is None else (hint, new_token())


def following_token(token: str) -> str:
    """Return the token of the claim that a child makes after succeeding with this one."""
    return str(uuid.uuid5(_FOLLOWING, token))


def claim_under(connection: Connection, token: str) -> Claim | None:
    """Return the running process of a token, or None."""
    process_id = connection.scalar(_UNDER_TOKEN, {"token": token})
    return None if process_id is None else read_claim(connection, process_id, token)
