"""One storm, from publishing to the last look."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import DBAPIError
from tests.storm.checker import Census, check
from tests.storm.installation import Site, layered
from tests.storm.weather import Server, Weather

LOOK_S = 0.5
REPORT_S = 10.0
WIDTH = 60


@dataclass(frozen=True)
class Plan:
    """How large a storm is."""

    processes: int = 5000
    seed: int = 0
    program_s: float = 3.0
    server_s: float = 60.0
    patience_s: float = 3600.0
    lease_s: float = 4.0
    freeze_s: float = 7.0
    longest_step_s: float = 0.1
    roles: tuple[str, ...] = ("manager",) * 2 + ("consumer",) * 4


@dataclass(frozen=True)
class Result:
    """What came of it."""

    plan: Plan
    census: Census
    seconds: float
    kills: Counter[str] = field(default_factory=Counter)
    freezes: int = 0
    restarts: int = 0

    @property
    def is_good(self) -> bool:
        """Whether nothing at all was found."""
        return not self.census.findings and self.census.processes == self.plan.processes

    def __str__(self) -> str:
        """Return the figures in one line."""
        kills = ", ".join(f"{n} {name}" for name, n in sorted(self.kills.items()))
        attempts = ", ".join(f"{n} {name}" for name, n in sorted(self.census.attempts.items()))
        return (
            f"storm seed {self.plan.seed}: {self.census.processes} processes in "
            f"{self.seconds:.0f} s; killed {sum(self.kills.values())} ({kills}), "
            f"{self.restarts} restarts, {self.freezes} freezes; attempts: {attempts}; "
            f"{self.census.products} products; "
            f"{self.census.lost} lost, {self.census.doubled} doubled, "
            f"{len(self.census.findings)} findings"
        )


def sail(
    plan: Plan, database_url: str, broker_url: str, folder: Path, servers: Sequence[Server]
) -> Result:
    """Publish, let the storm blow until everything is done, and look at what is left."""
    chance = random.Random(plan.seed)
    site = Site(database_url, broker_url, folder, plan.lease_s)
    weather = Weather(
        site, list(plan.roles), list(servers), chance, plan.program_s, plan.server_s, plan.freeze_s
    )
    start = time.monotonic()
    try:
        _publish(site, plan, chance)
        weather.set_sail()
        _wait(site, weather, start + plan.patience_s)
        weather.calm()
        census = check(site.database, site.root)
        if census.findings:
            print(site.logs()[-20_000:])
    finally:
        weather.calm()
        site.close()
    seconds = time.monotonic() - start
    return Result(plan, census, seconds, weather.kills, weather.freezes, weather.restarts)


def _publish(site: Site, plan: Plan, chance: random.Random) -> None:
    rest = plan.processes
    while rest:
        n = min(rest, 1000)
        parameters = {i: _parameters(plan, chance) for i in range(n)}
        site.publish(layered(n, min(WIDTH, n), chance), parameters)
        rest -= n


def _parameters(plan: Plan, chance: random.Random) -> dict[str, float | int]:
    seconds = chance.choice([0.0, 0.0, 0.0, chance.uniform(0.0, plan.longest_step_s)])
    return {"seconds": seconds, "failures": int(chance.random() < 0.02)}


def _wait(site: Site, weather: Weather, deadline: float) -> None:
    next_report = time.monotonic() + REPORT_S
    while time.monotonic() < deadline:
        succeeded = None
        try:
            if site.is_done():
                return
            succeeded = site.succeeded()
            if time.monotonic() > next_report:
                next_report = time.monotonic() + REPORT_S
                states = ", ".join(f"{n} {s.value}" for s, n in sorted(site.states().items()))
                print(f"{states}; killed {sum(weather.kills.values())}", flush=True)
        except DBAPIError:
            pass  # the database is dead for the moment
        weather.blow(succeeded)
        time.sleep(LOOK_S)
