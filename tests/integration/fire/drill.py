"""One fault after the other on a site that works, and how long it took until work went on."""

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import func, select
from tests.storm.checker import check
from tests.storm.installation import Site, layered

from tianyu.schema.engine_tables import Attempt, Process

PATIENCE_S = 90.0
N_PROCESSES = 24
TABLE_VARIABLE = "TIANYU_FAULT_TABLE"
"""A file to which each drill adds a line."""


@dataclass
class Drill:
    """A site with programs that work on it."""

    site: Site
    seed: int = 0

    def run(
        self,
        name: str,
        fault: Callable[[], AbstractContextManager[object]],
        lasting_s: float,
        *,
        idle: bool = False,
    ) -> None:
        """Let a fault hold for a while, in the middle of work; all work must be done after it.

        With ``idle`` the work is published when the fault is there already, so that nobody is
        at work who could go on.
        """
        site = self.site
        chance = random.Random(self.seed)
        self.seed += 1
        parameters = {i: {"seconds": 0.03} for i in range(N_PROCESSES)}
        done, ids = site.succeeded(), []
        before = self._endings()
        graph = layered(N_PROCESSES, 4, chance)
        if not idle:
            site.publish(graph, parameters)
            self._until(lambda: site.succeeded() >= done + 3, f"work before {name}")
        with fault():
            if idle:
                ids = site.publish(graph, parameters)
            time.sleep(lasting_s)
        meanwhile = site.succeeded() - done
        start = time.monotonic()
        if not site.is_done():
            now = site.succeeded()
            self._until(lambda: site.succeeded() > now or site.is_done(), f"work after {name}")
        resumed_s = time.monotonic() - start
        self._until(site.is_done, f"the end of {name}")
        if idle:
            resumed_s = self._first_success_s(ids)
        whole_s = time.monotonic() - start
        census = check(site.database, site.root)
        assert not census.findings, f"{name}: {census.findings}\n{site.logs()}"
        ends = self._endings()
        other = {o: n - before.get(o, 0) for o, n in ends.items() if o != "succeeded"}
        self._note(
            f"{name} | {lasting_s:.1f} | {meanwhile} of {N_PROCESSES} | {resumed_s:.1f} | "
            f"{whole_s:.1f} | {({o: n for o, n in other.items() if n}) or '-'} | "
            f"{census.lost}/{census.doubled}"
        )

    def _first_success_s(self, ids: list[int]) -> float:
        """Return how long after publishing the first process had succeeded, seconds."""
        query = select(func.min(Process.finished_us) - func.min(Process.created_us))
        with self.site.database.read() as connection:
            return float(connection.scalar(query.where(Process.id.in_(ids))) or 0) / 1e6

    def _endings(self) -> dict[str, int]:
        query = select(Attempt.outcome, func.count()).group_by(Attempt.outcome)
        with self.site.database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def _until(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < deadline, f"{what} never came\n{self.site.logs()}"
            dead = [p for p in self.site.programs if not p.is_running]
            assert not dead, f"{dead[0].role} ended by itself\n{self.site.logs()}"
            time.sleep(0.02)

    @staticmethod
    def _note(line: str) -> None:
        print(line)
        if path := os.environ.get(TABLE_VARIABLE):
            with open(path, "a") as file:  # noqa: PTH123 - a text all the way
                file.write(f"| {line} |\n")


@contextlib.contextmanager
def at_once(act: Callable[[], object]) -> Iterator[None]:
    """Do something at the beginning."""
    act()
    yield
