"""Where a consumer's work comes from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy import Connection

from tianyu.broker.interface import Broker, Hint
from tianyu.schema.database import Database
from tianyu.schema.transitions.claim import Claim, claim_next, claim_queued, new_token


class Claimer(Protocol):
    """Finds the next process for an idle child."""

    def claim(self) -> Claim | None:
        """Return a claimed process, or None when there is none right now."""
        ...


@dataclass(frozen=True)
class DirectClaimer:
    """Claims straight from the ready processes of the database."""

    database: Database
    queue_ids: Sequence[int]
    worker_id: str
    lease_s: float

    def claim(self) -> Claim | None:
        """Return the most urgent ready process, claimed."""

        def work(connection: Connection) -> Claim | None:
            return claim_next(connection, self.queue_ids, self.worker_id, self.lease_s)

        return self.database.retry(work)


@dataclass
class HintedClaimer:
    """Claims the processes that a broker's messages hint at."""

    database: Database
    broker: Broker
    queue_ids: Sequence[int]
    worker_id: str
    lease_s: float
    _unanswered: Hint | None = field(default=None, init=False)

    def claim(self) -> Claim | None:
        """Follow hints until one can be claimed or none is left.

        A hint is acknowledged once the database has answered, whatever the answer: the row
        decides, and a stale hint is simply dropped. While the database is away the hint is
        kept and tried again by the next call.
        """
        while (hint := self._unanswered or self.broker.receive(0.0)) is not None:
            self._unanswered = hint
            claim = self._claim(hint.process_id)
            self._unanswered = None
            self.broker.acknowledge(hint)
            if claim is not None:
                return claim
        return None

    def _claim(self, process_id: int) -> Claim | None:
        # Drawn before the transaction: when the answer to its COMMIT is lost, the repetition
        # finds the claim by its token instead of taking it for somebody else's.
        token = new_token()

        def work(connection: Connection) -> Claim | None:
            return claim_queued(
                connection, process_id, self.queue_ids, self.worker_id, self.lease_s, token
            )

        return self.database.retry(work)
