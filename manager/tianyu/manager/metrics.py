"""What Prometheus learns of a manager, and through it of the whole survey."""

import logging
import time
from collections.abc import Generator, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from tianyu.broker.errors import BrokerUnreachableError
from tianyu.broker.interface import QueueAddress
from tianyu.manager.dispatcher import SEEN_WITHIN_US
from tianyu.manager.manager import Manager
from tianyu.schema.dialects import now_us
from tianyu.schema.engine_tables import HardwareGroup, Process, Queue, Site, Worker
from tianyu.schema.states import State

logger = logging.getLogger(__name__)

COUNTED = (State.READY, State.QUEUED, State.RUNNING, State.BLOCKED, State.FAILED)
"""Ranges of the index on state and queue, and short ones. Waiting and succeeded processes may be
millions, and counting them would cost as much at every look."""

KEPT_S = 5.0
"""An answer of the database serves whoever asks within this time."""

_COUNTS = (
    select(Process.queue_id, Process.state, func.count())
    .where(Process.state.in_([state.value for state in COUNTED]))
    .group_by(Process.queue_id, Process.state)
)

_QUEUES = (
    select(Queue.id, Site.name, HardwareGroup.name)
    .join(Site, Site.id == Queue.site_id)
    .join(HardwareGroup, HardwareGroup.id == Queue.group_id)
)

_WORKERS = (
    select(Site.name, func.count())
    .join(Worker, Worker.site_id == Site.id)
    .where(Worker.stopped_us.is_(None), Worker.last_seen_us > now_us() - SEEN_WITHIN_US)
    .group_by(Site.name)
)


class ManagerCollector(Collector):
    """Looks at a manager, its database and its broker when asked."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._kept: list[Metric] = []
        self._kept_until = 0.0

    def collect(self) -> Iterator[Metric]:
        """Yield what stands now; of a database or broker that is away only that it is."""
        yield from self._own()
        if time.monotonic() >= self._kept_until:
            self._kept = list(self._shared())
            self._kept_until = time.monotonic() + KEPT_S
        yield from self._kept

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: registering must not ask the database."""
        yield from ()

    def _own(self) -> Iterator[Metric]:
        manager, counts = self._manager, self._manager.counts
        for name, text, value in (
            ("manager_rounds", "Rounds that ended well.", counts.rounds),
            ("dispatched", "Processes handed to the broker.", counts.dispatched),
            ("messages_lost", "Messages found lost and sent again.", counts.messages_lost),
            ("leases_lost", "Processes taken back from vanished workers.", counts.leases_lost),
            ("manager_outages", "Rounds that the database ended.", counts.outages),
            (
                "database_disconnects",
                "Connections to the database that were lost.",
                manager.database.disconnects,
            ),
            (
                "broker_reconnects",
                "Connections or channels to the broker that were lost and opened again.",
                manager.broker.n_reconnects,
            ),
        ):
            yield CounterMetricFamily(f"tianyu_{name}", text, value)

    def _shared(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("tianyu_up", "Whether it answers.", labels=["server"])
        try:
            queues = yield from self._database()
            up.add_metric(["database"], 1)
        except DBAPIError as error:
            logger.warning("metrics without the database: %s", error.orig)
            up.add_metric(["database"], 0)
            queues = []
        if self._manager.broker.carries_messages and queues:
            try:
                yield from self._broker(queues)
                up.add_metric(["broker"], 1)
            except BrokerUnreachableError:
                up.add_metric(["broker"], 0)
        yield up

    def _database(self) -> Generator[Metric, None, list[QueueAddress]]:
        with self._manager.database.read() as connection:
            queues = [QueueAddress(*row) for row in connection.execute(_QUEUES)]
            rows = connection.execute(_COUNTS).all()
            workers = connection.execute(_WORKERS).all()
        counts = {(queue_id, state): number for queue_id, state, number in rows}
        family = GaugeMetricFamily(
            "tianyu_processes", "Processes by state.", labels=["site", "group", "state"]
        )
        for queue in queues:
            for state in COUNTED:
                number = counts.get((queue.id, state.value), 0)
                family.add_metric([queue.site, queue.group, state.value], number)
        yield family
        alive = GaugeMetricFamily("tianyu_workers", "Consumers seen lately.", labels=["site"])
        for site, number in workers:
            alive.add_metric([site], number)
        yield alive
        return queues

    def _broker(self, queues: list[QueueAddress]) -> Iterator[Metric]:
        labels = ["site", "group"]
        depth = GaugeMetricFamily("tianyu_queue_depth", "Hints that wait.", labels=labels)
        dead = GaugeMetricFamily(
            "tianyu_dead_letters", "Messages that could not be used.", labels=labels
        )
        for queue in queues:
            depth.add_metric([queue.site, queue.group], self._manager.broker.depth(queue))
            dead.add_metric([queue.site, queue.group], self._manager.broker.n_dead(queue))
        yield depth
        yield dead
