"""Working a database's processes off on this machine: a manager, a consumer, and bars to watch."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from sqlalchemy import func, select

from tianyu.broker.connect import connect
from tianyu.consumer.consumer import Consumer, ConsumerConfig
from tianyu.manager.manager import Manager, ManagerConfig
from tianyu.schema.database import Database
from tianyu.schema.settings import Settings
from tianyu.schema.states import State
from tianyu.schema.tables import Process

REFRESH_S = 0.3
QUICK_POLL_S = 0.1
OPEN_STATES = (State.WAITING, State.READY, State.QUEUED, State.RUNNING)


@dataclass(frozen=True)
class StageCount:
    """How far one step of some runs is."""

    command: str
    done: int
    failed: int
    total: int


def stage_counts(database: Database, run_ids: Sequence[int]) -> list[StageCount]:
    """Count the processes of runs by step, in the order of the graph."""
    query = (
        select(Process.command, Process.state, func.count(), func.min(Process.id))
        .where(Process.run_id.in_(run_ids))
        .group_by(Process.command, Process.state)
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    first: dict[str, int] = {}
    for command, _, _, pid in rows:
        first[command] = min(pid, first.get(command, pid))
    counts = []
    for command in sorted(first, key=lambda name: first[name]):
        by_state = {state: n for name, state, n, _ in rows if name == command}
        counts.append(
            StageCount(
                command,
                done=by_state.get(State.SUCCEEDED.value, 0),
                failed=by_state.get(State.FAILED.value, 0),
                total=sum(by_state.values()),
            )
        )
    return counts


def is_finished(database: Database, run_ids: Sequence[int]) -> bool:
    """Tell whether nothing of these runs can still move by itself."""
    query = select(func.count()).where(
        Process.run_id.in_(run_ids), Process.state.in_([s.value for s in OPEN_STATES])
    )
    with database.read() as connection:
        return not connection.scalar(query)


def work_off(
    database: Database,
    run_ids: Sequence[int],
    *,
    settings: Settings,
    site: str,
    workers: int,
    console: Console,
    groups: Sequence[str] = ("cpu",),
) -> bool:
    """Run a manager and a consumer until the runs are finished.

    Returns
    -------
    bool
        False when a person interrupted; what was done is kept and can be continued.
    """
    manager, consumer = _services(database, settings, site, workers, groups)
    interrupted = threading.Event()

    def stop(_signal: int, _frame: object) -> None:
        interrupted.set()
        consumer.drain()

    thread = threading.Thread(target=manager.run, name="tianyu-manager", daemon=True)
    thread.start()
    try:
        with handling_signals(stop), _bars(database, run_ids, console):
            consumer.run(lambda: is_finished(database, run_ids))
    finally:
        manager.stop()
        thread.join()
    return not interrupted.is_set()


class BackgroundWorkers:
    """A manager and a consumer that work beside what this process does, until they are stopped.

    Parameters
    ----------
    database : Database
    settings : Settings
    site : str
    workers : int
        Processes at a time.
    """

    def __init__(self, database: Database, settings: Settings, site: str, workers: int) -> None:
        # A frame is waited for: looking for it costs microseconds.
        quick = settings.model_copy(update={"poll_s": min(settings.poll_s, QUICK_POLL_S)})
        self._manager, self._consumer = _services(database, quick, site, workers)
        self._trouble: BaseException | None = None
        self._threads = (
            threading.Thread(target=self._manager.run, name="tianyu-manager", daemon=True),
            threading.Thread(target=self._consume, name="tianyu-consumer", daemon=True),
        )

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def check(self) -> None:
        """Raise what made the consumer stop, if it has stopped by itself."""
        if self._trouble is not None:
            raise self._trouble

    def stop(self) -> None:
        """Finish what runs, and begin nothing more."""
        self._consumer.drain()
        self._threads[1].join()
        self._manager.stop()
        self._threads[0].join()

    def _consume(self) -> None:
        try:
            self._consumer.run()
        except BaseException as error:  # noqa: BLE001 - raised again by check(), in the main thread
            self._trouble = error


def _services(
    database: Database,
    settings: Settings,
    site: str,
    workers: int,
    groups: Sequence[str] = ("cpu",),
) -> tuple[Manager, Consumer]:
    broker = connect("embedded:", database)
    manager = Manager(database, broker, ManagerConfig(settings.lease_loss_budget, settings.poll_s))
    # A reduction that was killed is continued at once, not after its leases.
    manager.reap_dead_local_workers()
    consumer = Consumer(
        database,
        broker,
        ConsumerConfig(
            site,
            groups=groups,
            processes=workers,
            failure_budget=settings.failure_budget,
            poll_s=settings.poll_s,
            memory_limit_bytes=settings.memory_limit_bytes,
            disk_full_pause_s=settings.disk_full_pause_s,
        ),
    )
    return manager, consumer


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def handling_signals(handler: object) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM drain; only the main thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, handler) for number in signals}  # type: ignore[arg-type]  # a handler
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


@contextmanager
def _bars(database: Database, run_ids: Sequence[int], console: Console) -> Iterator[None]:
    """Show one bar per step while the block runs."""
    progress = Progress(
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )
    tasks: dict[str, TaskID] = {}
    stopping = threading.Event()

    def update() -> None:
        for stage in stage_counts(database, run_ids):
            if stage.command not in tasks:
                tasks[stage.command] = progress.add_task(stage.command, start=False, note="")
            task = progress.tasks[tasks[stage.command]]
            if stage.done + stage.failed and not task.started:
                progress.start_task(task.id)
            note = f"[red]{stage.failed} failed" if stage.failed else ""
            progress.update(task.id, completed=stage.done, total=stage.total, note=note)

    def refresh() -> None:
        while not stopping.wait(REFRESH_S):
            update()

    thread = threading.Thread(target=refresh, name="tianyu-bars", daemon=True)
    with progress:
        update()
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()
            update()
