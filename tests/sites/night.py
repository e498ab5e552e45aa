"""One night shared by two sites over a narrow link that is cut in the middle of a transfer.

While it is cut the consumer that was receiving the file is killed, too.
"""

import os
import secrets
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select
from tests.integration.served.installation import PROGRAM, Service
from tests.integration.served.test_night import curves
from tests.sites.network import CENTRE_ADDRESS, OBSERVATORY_ADDRESS, Network, Traffic

from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.states import TERMINAL, State
from tianyu.schema.tables import Attempt, Image, ImageCopy, Process, Site

PORT = 8766
LEASE_S = 300.0
"""Longer than the cut, and than the silence of connections that outlive it."""

CENTRE_LEASE_S = 30.0
"""The work of the killed consumer is taken over while the link is still down."""

BEGUN = 0.3
"""The link is cut when so much of the first file has come."""


@dataclass(frozen=True)
class Plan:
    """What is done.

    Attributes
    ----------
    frames : Path
        Folder of the night.
    chunk : int
        Frames per process.
    options : tuple of str
        Further ones of reducing and registering.
    cut_s : float
    patience_s : float
        Give up after, seconds.
    """

    frames: Path
    chunk: int
    options: tuple[str, ...]
    cut_s: float
    patience_s: float


@dataclass
class SharedNight:
    """Two installations of the program, each in its own namespace with its own root."""

    plan: Plan
    network: Network
    folder: Path
    database_url: str
    broker_url: str
    services: list[Service] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    _token: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    _begun: float = field(default_factory=time.monotonic)
    _kept: int = 0

    def __post_init__(self) -> None:
        self.database = Database(self.database_url)

    def run(self) -> bool:
        """Do it all; return whether the light curves are those of one machine."""
        expected = self._reduce_on_one_machine()
        self._prepare()
        at_first = self.network.traffic()
        self._register()
        registered = self.network.traffic()
        self._start()
        self._wait(self._has_begun_a_transfer, "the first transfer")
        before_cut = self.network.traffic()
        self._cut()
        self._wait(self._is_done, "the end of the night")
        in_the_end = self.network.traffic()
        self._tell_traffic(registered - at_first, before_cut - registered, in_the_end - at_first)
        for service in reversed(self.services):
            service.stop()
        return self._compare(expected)

    def close(self) -> None:
        """End everything."""
        for service in self.services:
            if service.process.poll() is None:
                service.kill()
        self.database.dispose()

    # -- what is done ---------------------------------------------------------------------------

    def _reduce_on_one_machine(self) -> list[tuple[object, ...]]:
        out = self.folder / "one-machine"
        begun = time.monotonic()
        self._command(
            [], {}, "reduce", str(self.plan.frames), "--out", str(out),
            "--chunk", str(self.plan.chunk), "--workers", "1", *self.plan.options,
        )  # fmt: skip
        database = Database(sqlite_url(out / "tianyu.sqlite"))
        rows = curves(database)
        database.dispose()
        self._say(f"one machine: {len(rows)} points in {time.monotonic() - begun:.0f} s")
        return rows

    def _prepare(self) -> None:
        for site in ("obs", "centre"):
            self._at("centre", "init", "--site", site, "--root", str(self._root(site)))
        address = f"http://{OBSERVATORY_ADDRESS}:{PORT}"
        lease = ("--lease", f"{LEASE_S:g}")
        self._at("centre", "site", "add", "obs", "--address", address, *lease)
        self._at("centre", "site", "add", "centre", "--lease", f"{CENTRE_LEASE_S:g}")

    def _register(self) -> None:
        begun = time.monotonic()
        self._at(
            "obs", "register", str(self.plan.frames), "--site", "obs", "--science-site", "centre",
            "--chunk", str(self.plan.chunk), *self.plan.options,
        )  # fmt: skip
        self._say(f"registered at the observatory in {time.monotonic() - begun:.0f} s")

    def _start(self) -> None:
        self._serve("centre", "manager")
        self._serve("centre", "consumer")
        self._serve("obs", "serve-files", "--host", OBSERVATORY_ADDRESS, "--port", str(PORT))
        self._serve("obs", "consumer")

    def _cut(self) -> None:
        with self.network.cut():
            receiver = self.services.pop(1)
            receiver.kill()
            self._serve("centre", "consumer")
            self._kept = self._partial_bytes()
            self._say(
                f"the link is cut for {self.plan.cut_s:g} s and the receiver killed; {self._kept} "
                "bytes of a file have come"
            )
            time.sleep(self.plan.cut_s)
        self._say(f"the link is back; {self._partial_bytes()} bytes are kept")

    # -- what is looked at ----------------------------------------------------------------------

    def _has_begun_a_transfer(self) -> bool:
        with self.database.read() as connection:
            stacks = select(ImageCopy.size_bytes).join(Image, Image.id == ImageCopy.image_id)
            sizes = list(connection.scalars(stacks.where(Image.kind.in_(["stack", "template"]))))
        return bool(sizes) and self._partial_bytes() > BEGUN * min(sizes)

    def _partial_bytes(self) -> int:
        parts = self._root("centre").glob("received/*/.*.tmp")
        return sum(part.stat().st_size for part in parts)

    def _is_done(self) -> bool:
        with self.database.read() as connection:
            states = {State(s) for s in connection.scalars(select(Process.state).distinct())}
        return states <= TERMINAL | {State.BLOCKED}

    def _compare(self, expected: list[tuple[object, ...]]) -> bool:
        with self.database.read() as connection:
            states = Counter(connection.scalars(select(Process.state)))
            outcomes = Counter(connection.scalars(select(Attempt.outcome)))
            transfers = connection.execute(
                select(Attempt.outcome, Attempt.bytes_written)
                .join(Process, Process.id == Attempt.process_id)
                .where(Process.command == "transfer")
            ).all()
            received = connection.execute(
                select(ImageCopy.path, ImageCopy.size_bytes)
                .join(Site, Site.id == ImageCopy.site_id)
                .where(Site.name == "centre", ImageCopy.path.like("received/%"))
            ).all()
        sizes = sum(row.size_bytes for row in received)
        fetched = sum(row.bytes_written or 0 for row in transfers)
        self._say(f"processes: {dict(states)}; attempts: {dict(outcomes)}")
        self._say(
            f"files received: {len(received)} of {sizes} bytes; fetched in "
            f"{len(transfers)} attempts: {self._kept} bytes before the kill and {fetched} after "
            f"it, {self._kept + fetched - sizes} of them twice"
        )
        found = curves(self.database)
        is_equal = found == expected
        self._say(f"light curves: {len(found)} points, equal to one machine's: {is_equal}")
        is_whole = set(states) == {State.SUCCEEDED.value} and bool(received)
        return is_equal and is_whole and self._kept + fetched == sizes

    def _tell_traffic(self, registering: Traffic, first: Traffic, whole: Traffic) -> None:
        with self.database.read() as connection:
            sizes = list(
                connection.scalars(
                    select(ImageCopy.size_bytes)
                    .join(Image, Image.id == ImageCopy.image_id)
                    .where(Image.birth.is_(None), Image.kind == "light")
                )
            )
            files = sum(
                connection.scalars(
                    select(ImageCopy.size_bytes).where(ImageCopy.path.like("received/%"))
                )
            )
        n, raw = len(sizes), sum(sizes)
        self._say(f"raw: {n} light frames of {raw / n / 1e3:.0f} kB, {raw / 1e6:.1f} MB in all")
        self._say(
            f"link: {whole.total / 1e6:.1f} MB in all, {whole.total / n / 1e3:.0f} kB per frame, "
            f"{whole.total / raw:.1%} of the raw frames; {whole.from_observatory / 1e6:.1f} MB "
            f"from the observatory, {whole.to_observatory / 1e6:.1f} MB to it"
        )
        self._say(
            f"of that: stacks {files / 1e6:.1f} MB, registering {registering.total / 1e6:.1f} MB, "
            f"until the first transfer {first.total / 1e6:.1f} MB"
        )

    # -- programs -------------------------------------------------------------------------------

    def _root(self, site: str) -> Path:
        return self.folder / site

    def _variables(self, site: str) -> dict[str, str]:
        urls = {"TIANYU_DATABASE_URL": self.database_url, "TIANYU_BROKER_URL": self.broker_url}
        if site == "obs":
            urls = {k: v.replace("127.0.0.1", CENTRE_ADDRESS) for k, v in urls.items()}
        return urls | {"TIANYU_SITE": site, "TIANYU_FILE_TOKEN": self._token}

    def _environment(self, variables: dict[str, str]) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("TIANYU_")}
        return inherited | variables | {"OMP_NUM_THREADS": "1"}

    def _at(self, site: str, *arguments: str) -> None:
        self._command(self._inside(site), self._variables(site), *arguments)

    def _inside(self, site: str) -> list[str]:
        # We ourselves run at the centre.
        return self.network.inside(self.network.observatory, []) if site == "obs" else []

    def _command(self, prefix: list[str], variables: dict[str, str], *arguments: str) -> None:
        done = subprocess.run(
            [*prefix, str(PROGRAM), *arguments],
            env=self._environment(variables),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=self.plan.patience_s,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"tianyu {arguments[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}")

    def _serve(self, site: str, *arguments: str) -> None:
        log = self.folder / f"{site}.{arguments[0]}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*self._inside(site), str(PROGRAM), *arguments],
                env=self._environment(self._variables(site)),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.services.append(Service(process, log))

    def _wait(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + self.plan.patience_s
        while not is_so():
            dead = [s for s in self.services if s.process.poll() is not None]
            if dead or time.monotonic() > deadline:
                logs = "\n".join(f"-- {s.log}\n{s.log.read_text()[-3000:]}" for s in self.services)
                raise RuntimeError(f"{what} never came\n{logs}")
            time.sleep(0.2)
        self._say(what)

    def _say(self, line: str) -> None:
        print(f"{time.monotonic() - self._begun:6.0f} s  {line}", flush=True)
