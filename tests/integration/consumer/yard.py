"""A place to run consumers in: a site, a database in a file, and short words for both."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import getsource
from pathlib import Path
from typing import Any

from sqlalchemy import Row, func, select, update

from tianyu.broker.embedded import EmbeddedBroker
from tianyu.consumer.consumer import Consumer, ConsumerConfig
from tianyu.manager.manager import Manager, ManagerConfig
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.directory import ensure_queue, ensure_site
from tianyu.schema.migrate import upgrade
from tianyu.schema.pid import PidFactory
from tianyu.schema.states import State
from tianyu.schema.tables import Attempt, HardwareGroup, Process, Site, Worker
from tianyu.schema.transitions.publish import ProcessSpec, RunSpec, insert_graph, insert_run

SITE = "hill"
LEASE_S = 60.0
PATIENCE_S = 60.0
"""Longer than anything takes on a slow machine; reached only when a test fails."""


@dataclass(frozen=True)
class Work:
    """One process of a graph."""

    command: str
    parameters: Mapping[str, Any]
    parents: tuple[str, ...] = ()
    repeatable: bool = True


def work(command: str, *parents: str, repeatable: bool = True, **parameters: Any) -> Work:
    """Describe one process."""
    return Work(command, parameters, parents, repeatable)


@dataclass
class Yard:
    """One site and its database."""

    database: Database
    folder: Path
    queue_id: int

    @classmethod
    @contextmanager
    def at(cls, folder: Path) -> Iterator["Yard"]:
        """Open a new one."""
        database = Database(sqlite_url(folder / "yard.sqlite"))
        upgrade(database)
        with database.write() as connection:
            site_id = ensure_site(connection, SITE, folder / "files", LEASE_S)
            queue_id = ensure_queue(connection, site_id, "cpu")
        try:
            yield cls(database, folder, queue_id)
        finally:
            database.dispose()

    def set_lease(self, lease_s: float) -> None:
        """Set the length of the leases of workers that start from now on."""
        with self.database.write() as connection:
            connection.execute(update(Site).values(lease_s=lease_s))

    def publish(self, **graph: Work) -> dict[str, int]:
        """Publish a graph and return the ids by name."""
        pids = dict(zip(graph, PidFactory().draw(len(graph)), strict=True))
        specs = [
            ProcessSpec(
                pids[name],
                w.command,
                w.parameters,
                self.queue_id,
                tuple(pids[parent] for parent in w.parents),
                repeatable=w.repeatable,
            )
            for name, w in graph.items()
        ]
        run = RunSpec(f"run {min(pids.values())}", "test", 1, {}, "1", specs)
        with self.database.write() as connection:
            insert_graph(connection, insert_run(connection, run), specs)
        return pids

    # -- consumers and managers -----------------------------------------------------------

    def new_consumer(self, **options: Any) -> Consumer:
        """Return a consumer that has not started."""
        config = ConsumerConfig(SITE, **{"poll_s": 0.05, **options})
        return Consumer(self.database, EmbeddedBroker(self.database), config)

    @contextmanager
    def consumer(self, **options: Any) -> Iterator[Consumer]:
        """Run a consumer beside the block, and drain it afterwards."""
        consumer = self.new_consumer(**options)
        with beside(consumer.run, consumer.drain):
            yield consumer

    def work_off(self, **options: Any) -> None:
        """Run a consumer until nothing can move any more."""
        self.new_consumer(**options).run(self.is_still)

    def is_still(self) -> bool:
        """Tell whether nothing is running or about to run, pauses not counted."""
        moving = (State.READY.value, State.QUEUED.value, State.RUNNING.value)
        query = select(func.count()).where(Process.state.in_(moving), Process.not_before == 0)
        with self.database.read() as connection:
            return not connection.scalar(query)

    def manager(self, **options: Any) -> Manager:
        """Return a manager."""
        config = ManagerConfig(**{"poll_s": 0.05, **options.pop("config", {})})
        return Manager(self.database, EmbeddedBroker(self.database), config, **options)

    # -- looking --------------------------------------------------------------------------

    def row(self, pid: int) -> Row[Any]:
        """Return all columns of a process."""
        with self.database.read() as connection:
            return connection.execute(select(Process).where(Process.id == pid)).one()

    def state(self, pid: int) -> State:
        """Return where a process stands."""
        return State(self.row(pid).state)

    def states(self, pids: Iterable[int]) -> list[State]:
        """Return where processes stand."""
        return [self.state(pid) for pid in pids]

    def attempts(self, pid: int) -> list[Row[Any]]:
        """Return the ended attempts of a process, oldest first."""
        with self.database.read() as connection:
            query = select(Attempt).where(Attempt.process_id == pid).order_by(Attempt.number)
            return list(connection.execute(query).all())

    def attempt(self, pid: int) -> Row[Any]:
        """Return the only attempt of a process."""
        (attempt,) = self.attempts(pid)
        return attempt

    def outcomes(self, pid: int) -> list[str]:
        """Return how the attempts of a process ended, oldest first."""
        return [attempt.outcome for attempt in self.attempts(pid)]

    def products(self) -> list[tuple[int, int]]:
        """Return process and attempt of every product row."""
        with self.database.read() as connection:
            names = connection.scalars(select(HardwareGroup.name)).all()
        pairs = [name.split(".") for name in names if "." in name]
        return sorted((int(pid), int(attempt)) for pid, attempt in pairs)

    def workers(self) -> Sequence[Row[Any]]:
        """Return every start of a consumer, oldest first."""
        with self.database.read() as connection:
            return connection.execute(select(Worker).order_by(Worker.started_us)).all()

    def make_due(self, pid: int) -> None:
        """Let the pause after a failure pass."""
        with self.database.write() as connection:
            connection.execute(update(Process).where(Process.id == pid).values(not_before=0))

    def expire(self, pid: int) -> None:
        """Let the lease of a process run out."""
        with self.database.write() as connection:
            connection.execute(update(Process).where(Process.id == pid).values(lease_until=1))


@contextmanager
def beside(run: Callable[[], object], stop: Callable[[], object]) -> Iterator[None]:
    """Run something in a thread beside the block; its errors come out at the end."""
    errors: list[BaseException] = []

    def target() -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread of the test
            errors.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(PATIENCE_S)
    assert not thread.is_alive(), "it did not stop when asked to"
    if errors:
        raise errors[0]


def until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> float:
    """Wait until something is true; return for how long, seconds."""
    start = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - start
        assert waited_s < patience_s, f"not after {waited_s:.1f} s: {getsource(condition).strip()}"
        time.sleep(0.02)
    return time.monotonic() - start
