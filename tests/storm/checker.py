"""Looking at what is left after everything died many times: nothing lost, nothing twice.

It trusts no state that the engine keeps: what must agree are the attempt log, the rows of the
products and the files, one against the other.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from tianyu.schema.database import Database
from tianyu.schema.paths import resolve
from tianyu.schema.states import Outcome, State
from tianyu.schema.tables import Attempt, Dependency, Image, ImageCopy, Process
from tianyu.schema.transitions.audit import audit


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and with which process."""

    kind: str
    process_id: int
    text: str

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.kind}: process {self.process_id}: {self.text}"


@dataclass(frozen=True)
class Census:
    """What there is, beside what is wrong."""

    processes: int
    attempts: Counter[str]
    products: int
    findings: list[Finding]

    def count(self, *kinds: str) -> int:
        """Return how many findings are of these kinds."""
        return sum(finding.kind in kinds for finding in self.findings)

    @property
    def lost(self) -> int:
        """Processes that did not succeed, or whose product is missing or spoiled."""
        return self.count("unfinished", "no product", "no file", "spoiled file")

    @property
    def doubled(self) -> int:
        """Processes that succeeded twice, or left two products."""
        return self.count("succeeded twice", "two products", "foreign product")


def check(database: Database, root: Path, *, is_complete: bool = True) -> Census:
    """Compare log, rows and files.

    Parameters
    ----------
    database : Database
    root : Path
        Of the site.
    is_complete : bool
        Whether every process must have succeeded by now.
    """
    with database.read() as connection:
        states = {row.id: row for row in connection.execute(select(Process.__table__))}
        log = _log(connection)
        products = _products(connection)
        findings = [
            *_of_attempts(states, log, is_complete=is_complete),
            *_of_products(log, products, states),
            *_of_files(products, root),
            *_of_order(connection, states),
            *(Finding("drift", d.process_id, str(d)) for d in audit(connection)),
        ]
    outcomes = Counter(row.outcome for rows in log.values() for row in rows)
    return Census(len(states), outcomes, sum(map(len, products.values())), findings)


@dataclass(frozen=True)
class _Product:
    attempt: int
    path: str
    checksum: str
    size_bytes: int


def _log(connection: Connection) -> dict[int, list]:
    log = defaultdict(list)
    for row in connection.execute(select(Attempt.__table__).order_by(Attempt.id)):
        log[row.process_id].append(row)
    return log


def _products(connection: Connection) -> dict[int, list[_Product]]:
    query = select(
        Image.birth, Image.header, ImageCopy.path, ImageCopy.checksum, ImageCopy.size_bytes
    ).outerjoin(ImageCopy, ImageCopy.image_id == Image.id)
    found = defaultdict(list)
    for row in connection.execute(query):
        found[row.birth].append(
            _Product(row.header["attempt"], row.path, row.checksum, row.size_bytes)
        )
    return found


def _of_attempts(states: dict, log: dict, *, is_complete: bool) -> Iterator[Finding]:
    for pid, row in states.items():
        wins = sum(a.outcome == Outcome.SUCCEEDED.value for a in log[pid])
        numbers = sorted(a.number for a in log[pid])
        if is_complete and row.state != State.SUCCEEDED.value:
            yield Finding("unfinished", pid, f"it is {row.state}: {row.error_text}")
        if wins > 1:
            yield Finding("succeeded twice", pid, f"attempts {numbers}")
        if wins != (row.state == State.SUCCEEDED.value):
            yield Finding("log", pid, f"it is {row.state} and has {wins} successes")
        ended = row.attempt - (row.state == State.RUNNING.value)
        if numbers != list(range(1, ended + 1)):
            yield Finding("log", pid, f"claimed {row.attempt} times, attempts {numbers}")
    for pid in log.keys() - states.keys():
        yield Finding("log", pid, "attempts of a process that does not exist")


def _of_products(log: dict, products: dict, states: dict) -> Iterator[Finding]:
    for pid in states:
        winners = {a.number for a in log[pid] if a.outcome == Outcome.SUCCEEDED.value}
        attempts = [p.attempt for p in products[pid]]
        if winners and not attempts:
            yield Finding("no product", pid, "it succeeded and left nothing")
        if len(attempts) > 1:
            yield Finding("two products", pid, f"of attempts {attempts}")
        if set(attempts) - winners:
            yield Finding("foreign product", pid, f"of attempts {attempts}, winner {winners}")


def _of_files(products: dict, root: Path) -> Iterator[Finding]:
    for pid, several in products.items():
        for product in several:
            file = resolve(root, product.path)
            if not file.exists():
                yield Finding("no file", pid, product.path)
                continue
            content = file.read_bytes()
            is_whole = len(content) == product.size_bytes
            if not is_whole or hashlib.sha256(content).hexdigest() != product.checksum:
                yield Finding("spoiled file", pid, product.path)


def _of_order(connection: Connection, states: dict) -> Iterator[Finding]:
    """Yield children that were claimed, for the last time, before a parent had finished."""
    for parent, child in connection.execute(select(Dependency.parent, Dependency.child)):
        started, finished = states[child].started_us, states[parent].finished_us
        if started is not None and (finished is None or started < finished):
            yield Finding("order", child, f"started at {started}, parent {parent} at {finished}")
