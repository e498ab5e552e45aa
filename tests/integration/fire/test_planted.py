"""Mistakes that only whole programs can make, each planted and each caught."""

import pytest
from sqlalchemy import update
from tests.integration.consumer.memory_broker import MemoryBroker
from tests.storm import test_checker
from tests.storm.checker import check
from tests.storm.installation import Site

from tianyu.broker.embedded import EmbeddedBroker
from tianyu.manager import reaper
from tianyu.manager.dispatcher import Dispatcher
from tianyu.manager.manager import Manager
from tianyu.pipelines import context
from tianyu.schema.engine_tables import Process
from tianyu.schema.states import State

site = test_checker.site


def lose_a_message(site: Site) -> State:
    """Let a manager die between marking and sending; return where the process stands later."""
    (pid,) = site.publish([[]])
    broker = MemoryBroker(is_mute=True)
    manager = Manager(site.database, broker)
    manager.poll()
    with site.database.write() as connection:
        connection.execute(update(Process).values(dispatched_at=1))
    broker.is_mute = False
    manager._next_sweep = 0.0
    manager.poll()
    manager.poll()
    hint = broker.receive(0.0)
    assert hint is None or hint.process_id == pid
    return State.QUEUED if hint is None else State.READY


def test_a_message_that_was_never_sent_is_sent_later(site: Site) -> None:
    assert lose_a_message(site) is State.READY


def test_marked_before_it_is_sent_and_never_swept_it_would_be_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Dispatcher, "sweep", lambda _self: 0)
    assert lose_a_message(site) is State.QUEUED


def stall(site: Site) -> State:
    """Let the database stand still for two leases while a worker lives; return what happens."""
    site.publish([[]])
    now = 0.0
    manager = Manager(site.database, EmbeddedBroker(site.database), clock=lambda: now)
    for _ in range(20):
        now += 0.2
        manager.poll()
    test_checker.claim(site)
    # Nobody could renew it: when the database answers again the lease looks expired.
    with site.database.write() as connection:
        connection.execute(update(Process).values(lease_until=1))
    now += 2 * site.lease_s
    manager.poll()
    return next(iter(site.states()))


def test_after_a_stall_of_the_database_the_living_keep_their_claims(site: Site) -> None:
    assert stall(site) is State.RUNNING


def test_reaped_after_a_stall_the_living_would_lose_them(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaper, "STALL", 1e9)
    assert stall(site) is State.READY


def test_the_file_of_a_zombie_would_take_the_place_of_the_winner_s(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other way round is :mod:`tests.storm.test_checker`: with the attempt in its path."""
    real = context.product_path
    monkeypatch.setattr(
        context, "product_path", lambda run, command, pid, _attempt, name: real(
            run, command, pid, 0, name
        ),
    )  # fmt: skip
    test_checker.run_twice(site)
    assert "spoiled file" in {finding.kind for finding in check(site.database, site.root).findings}
