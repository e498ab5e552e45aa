"""The checker is worth what it finds: one spoiled thing at a time."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, update
from tests.storm import mutants
from tests.storm.checker import check
from tests.storm.installation import STEPS, Site

from tianyu.consumer.execute import Executor
from tianyu.consumer.messages import Succeeded, Workplace
from tianyu.pipelines import step
from tianyu.schema.database import sqlite_url
from tianyu.schema.engine_tables import Attempt, Process
from tianyu.schema.states import State
from tianyu.schema.tables import Image, ImageCopy
from tianyu.schema.transitions import finish
from tianyu.schema.transitions.claim import Claim, claim_next
from tianyu.schema.transitions.leases import reap


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site on a file, whose steps run in this very process."""
    known = dict(step._REGISTRY)
    monkeypatch.setenv(step.MODULES_VARIABLE, STEPS)
    _forget()
    site = Site(sqlite_url(tmp_path / "t.sqlite"), "embedded:", tmp_path)
    yield site
    site.close()
    step._REGISTRY.clear()
    step._REGISTRY.update(known)
    _forget()


def _forget() -> None:
    sys.modules.pop(STEPS, None)
    step._REGISTRY.pop("mark", None)
    step._import_steps.cache_clear()
    step._import_foreign_steps.cache_clear()


def claim(site: Site) -> Claim:
    with site.database.write() as connection:
        found = claim_next(connection, [site.queue_id], "w", 60.0)
    assert found is not None
    return found


def executor(site: Site) -> Executor:
    place = Workplace(site.database_url, 1, site.root, "w", (site.queue_id,), 60.0, ())
    return Executor(site.database, place, lambda: False)


def run_twice(site: Site) -> None:
    """Let a zombie finish after its successor."""
    site.publish([[], [0]])
    early = claim(site)
    with site.database.write() as connection:
        connection.execute(update(Process).values(lease_until=1).where(Process.attempt == 1))
        reap(connection, budget=3)
    late = claim(site)
    assert isinstance(executor(site).execute(late), Succeeded)
    executor(site).execute(early)
    child = claim(site)
    assert isinstance(executor(site).execute(child), Succeeded)


def test_with_fences_a_zombie_leaves_nothing_to_be_found(site: Site) -> None:
    run_twice(site)
    census = check(site.database, site.root)
    assert census.findings == []
    assert (census.processes, census.products) == (2, 2)
    assert census.attempts == {"succeeded": 2, "lease_lost": 1}


def test_without_the_fence_it_is_found(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finish, "_SUCCEED", finish._SUCCEED)  # undone after the test
    monkeypatch.setattr(finish, "_LOG_SUCCESS", finish._LOG_SUCCESS)
    mutants.success_without_a_fence()
    run_twice(site)
    census = check(site.database, site.root)
    assert {"two products", "foreign product"} <= {f.kind for f in census.findings}
    assert census.doubled


SPOILERS: dict[str, Callable[[Site], object]] = {
    "unfinished": lambda s: s.database.retry(
        lambda c: c.execute(update(Process).values(state=State.READY.value))
    ),
    "log": lambda s: s.database.retry(lambda c: c.execute(delete(Attempt))),
    "no product": lambda s: s.database.retry(
        lambda c: (c.execute(delete(ImageCopy)), c.execute(delete(Image)))
    ),
    "no file": lambda s: [path.unlink() for path in s.root.rglob("*.txt")],
    "spoiled file": lambda s: [path.write_bytes(b"x") for path in s.root.rglob("*.txt")],
    "drift": lambda s: s.database.retry(lambda c: c.execute(update(Process).values(pending=7))),
    "order": lambda s: s.database.retry(lambda c: c.execute(update(Process).values(started_us=1))),
}


@pytest.mark.parametrize("kind", sorted(SPOILERS))
def test_each_kind_of_loss_is_found(site: Site, kind: str) -> None:
    run_twice(site)
    SPOILERS[kind](site)
    assert kind in {finding.kind for finding in check(site.database, site.root).findings}
