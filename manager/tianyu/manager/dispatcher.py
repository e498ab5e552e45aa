"""Pushing ready processes to a broker that carries messages, and noticing lost messages."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from tianyu.broker.errors import BrokerUnreachableError
from tianyu.broker.interface import Broker, QueueAddress
from tianyu.manager.logs import fields
from tianyu.schema.crashpoints import CrashPoint, crash_point
from tianyu.schema.database import Database
from tianyu.schema.dialects import now_us
from tianyu.schema.engine_tables import HardwareGroup, Queue, Site, Worker
from tianyu.schema.transitions.dispatch import (
    Dispatch,
    confirm,
    count_queued,
    has_ready,
    return_lost,
    return_unconfirmed,
    take_ready,
)

logger = logging.getLogger(__name__)

LEAST_WINDOW = 100
WINDOW_PER_CONSUMER = 4
"""Processes handed over and not yet claimed, per queue: enough that no consumer waits for a
poll, few enough that priorities and cancelling stay matters of the database."""

SEEN_WITHIN_US = 300_000_000
"""A consumer that was not seen for five minutes does not widen the window."""


@dataclass
class Dispatcher:
    """Keeps the queues of a broker filled from the ready processes of the database."""

    database: Database
    broker: Broker

    def dispatch(self) -> int:
        """Hand over what is ready, within each queue's window; return how many."""
        if self.broker.is_blocked:
            return 0
        with self.database.read() as connection:
            queues, n_consumers = _queues(connection)
        window = max(LEAST_WINDOW, WINDOW_PER_CONSUMER * n_consumers)
        return sum(self._fill(queue, window) for queue in queues)

    def sweep(self) -> int:
        """Return processes to ``ready`` whose messages were lost; return how many.

        A broker that blocks publishing confirms late, and one that is away has lost nothing
        yet: then nothing is swept.
        """
        if self.broker.is_blocked:
            return 0
        returned = self.database.retry(return_unconfirmed)
        with self.database.read() as connection:
            queues, _ = _queues(connection)
        for queue in queues:
            returned += self._sweep_queue(queue)
        if returned:
            logger.warning(
                "%d messages were lost; their processes are ready again",
                returned,
                extra=fields("sweep"),
            )
        return returned

    def _fill(self, queue: QueueAddress, window: int) -> int:
        with self.database.read() as connection:
            if not has_ready(connection, queue.id):
                return 0
        try:
            # Messages that came too late are still there: consumers claim on without them.
            room = window - self.broker.depth(queue)
        except BrokerUnreachableError as error:
            # What is ready can be claimed without messages; what is queued as well, but no
            # earlier, and it would have to be taken back.
            logger.info("the broker is away, nothing is sent: %s", error, extra=fields("dispatch"))
            return 0

        def take(connection: Connection) -> list[Dispatch]:
            free = window - count_queued(connection, queue.id)
            dispatches = take_ready(connection, queue.id, min(room, free))
            crash_point(CrashPoint.BEFORE_TAKE_COMMIT)
            return dispatches

        taken = self.database.retry(take) if room > 0 else []
        if not taken:
            return 0
        crash_point(CrashPoint.AFTER_COMMIT_BEFORE_PUBLISH)
        sent = set(self.broker.publish(queue, [dispatch.process_id for dispatch in taken]))
        crash_point(CrashPoint.AFTER_PUBLISH_BEFORE_CONFIRM)
        arrived = [dispatch for dispatch in taken if dispatch.process_id in sent]
        self.database.retry(lambda connection: confirm(connection, arrived))
        crash_point(CrashPoint.AFTER_CONFIRM)
        logger.debug(
            "dispatched %d of %d",
            len(arrived),
            len(taken),
            extra=fields("dispatch", site=queue.site, group=queue.group),
        )
        return len(taken)

    def _sweep_queue(self, queue: QueueAddress) -> int:
        try:
            if self.broker.depth(queue) > 0:
                return 0
        except BrokerUnreachableError as error:
            logger.warning("the broker is away, nothing is swept: %s", error, extra=fields("sweep"))
            return 0
        return self.database.retry(lambda connection: return_lost(connection, queue.id))


def _queues(connection: Connection) -> tuple[Sequence[QueueAddress], int]:
    """Return every queue, and how many consumers were seen lately."""
    query = (
        select(Queue.id, Site.name, HardwareGroup.name)
        .join(Site, Site.id == Queue.site_id)
        .join(HardwareGroup, HardwareGroup.id == Queue.group_id)
        .order_by(Queue.id)
    )
    queues = [QueueAddress(*row) for row in connection.execute(query)]
    alive = select(func.count()).where(
        Worker.stopped_us.is_(None), Worker.last_seen_us > now_us() - SEEN_WITHIN_US
    )
    return queues, int(connection.scalar(alive) or 0)
