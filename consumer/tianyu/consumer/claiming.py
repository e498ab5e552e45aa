"""Where a consumer's work comes from."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from tianyu.broker.interface import Broker
from tianyu.schema.database import Database
from tianyu.schema.transitions.claim import Claim, claim_next, claim_queued


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


@dataclass(frozen=True)
class HintedClaimer:
    """Claims the processes that a broker's messages hint at."""

    database: Database
    broker: Broker
    queue_ids: Sequence[int]
    worker_id: str
    lease_s: float

    def claim(self) -> Claim | None:
        """Follow hints until one can be claimed or none is left.

        A hint is acknowledged once the database has answered, whatever the answer: the row
        decides, and a stale hint is simply dropped.
        """
        while (hint := self.broker.receive(0.0)) is not None:
            process_id = hint.process_id

            def work(connection: Connection, process_id: int = process_id) -> Claim | None:
                return claim_queued(
                    connection, process_id, self.queue_ids, self.worker_id, self.lease_s
                )

            claim = self.database.retry(work)
            with contextlib.suppress(ConnectionError):
                self.broker.acknowledge(hint)
            if claim is not None:
                return claim
        return None
