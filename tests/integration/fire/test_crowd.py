"""A hundred consumers and two managers on one database and one broker."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from tests.servers.mariadb import DatabaseServer
from tests.storm.installation import SITE, Site

from tianyu.broker.connect import connect
from tianyu.broker.interface import QueueAddress
from tianyu.consumer.claiming import HintedClaimer
from tianyu.manager.manager import Manager, ManagerConfig
from tianyu.schema.database import Database
from tianyu.schema.dialects import is_transient
from tianyu.schema.engine_tables import Attempt, Process
from tianyu.schema.states import State
from tianyu.schema.transitions.claim import heartbeat
from tianyu.schema.transitions.finish import Usage, succeed

CONSUMERS = 100
PROCESSES = 600
MOST_CONNECTIONS = CONSUMERS + 20
"""One each; a real consumer has one more for its leases, and one for each child."""
PATIENCE_S = 120.0


def connections(database: Database) -> int:
    """Return how many connections the server has."""
    with database.read() as connection:
        row = connection.execute(text("SHOW STATUS LIKE 'Threads_connected'")).one()
    return int(row[1])


def work(site: Site, worker: str, stop: threading.Event, errors: list[BaseException]) -> None:
    """Do as a consumer with one child does, without the child."""
    database, broker = (
        Database(site.database_url),
        connect(site.broker_url, Database("sqlite:///x")),
    )
    place = ((site.queue_id,), worker, 60.0, (State.QUEUED, State.READY))
    try:
        broker.subscribe([QueueAddress(site.queue_id, SITE, "cpu")])
        claimer = HintedClaimer(database, broker, *place)
        while not stop.is_set():
            try:
                claim = claimer.claim(0.5)
            except DBAPIError as error:
                # As the consumer does: a claim is tried once, and again when it comes round.
                if not is_transient(error):
                    raise
                continue
            if claim is None:
                continue
            pid, token = claim.process_id, claim.token
            assert database.retry(lambda c, p=pid, t=token: heartbeat(c, p, t, 60.0)) is False
            database.retry(lambda c, p=pid, t=token: succeed(c, p, t, Usage()))
            broker.wake()
    except BaseException as error:  # noqa: BLE001 - raised in the test
        errors.append(error)
    finally:
        broker.close()
        database.dispose()


@contextlib.contextmanager
def two_managers(site: Site) -> Iterator[None]:
    """Run them beside the block."""
    brokers = [connect(site.broker_url, site.database) for _ in range(2)]
    managers = [Manager(site.database, b, ManagerConfig(poll_s=0.1)) for b in brokers]
    threads = [threading.Thread(target=m.run) for m in managers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for manager in managers:
            manager.stop()
        for thread in threads:
            thread.join(PATIENCE_S)
        for broker in brokers:
            broker.close()


@pytest.mark.slow
def test_a_hundred_consumers_share_the_work_of_two_managers(
    breakable_database_server: DatabaseServer, site: Site
) -> None:
    with site.database.write() as connection:
        # The default of the server, 151, is for websites; see docs/operations.md.
        connection.execute(text("SET GLOBAL max_connections = 400"))
    before = connections(site.database)
    stop, errors = threading.Event(), []
    consumers = [
        threading.Thread(target=work, args=(site, f"worker {i}", stop, errors))
        for i in range(CONSUMERS)
    ]
    ids = site.publish([[] if i < 10 else [i % 10] for i in range(PROCESSES)])
    with two_managers(site):
        for thread in consumers:
            thread.start()
        most = 0
        deadline = time.monotonic() + PATIENCE_S
        while not site.is_done() and time.monotonic() < deadline and not errors:
            most = max(most, connections(site.database))
            time.sleep(0.05)
        stop.set()
        for thread in consumers:
            thread.join(PATIENCE_S)
    assert errors == []
    assert site.states() == {State.SUCCEEDED: PROCESSES}
    with site.database.read() as connection:
        ended = Counter(connection.scalars(select(Attempt.process_id)))
        shares = Counter(connection.scalars(select(Process.worker_id)))
    assert ended == Counter(ids)
    assert len(shares) > CONSUMERS / 4, "a few did everything"
    assert most - before <= MOST_CONNECTIONS
    print(f"{CONSUMERS} consumers, at most {most - before} connections, {len(shares)} had a share")


def test_of_two_managers_neither_sends_what_the_other_has_sent(site: Site, tmp_path: Path) -> None:
    site.publish([[] for _ in range(300)])
    queue = QueueAddress(site.queue_id, SITE, "cpu")
    broker = connect(site.broker_url, site.database)
    with two_managers(site):
        deadline = time.monotonic() + PATIENCE_S
        while site.states().get(State.QUEUED, 0) < 100 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.0)
    with site.database.read() as connection:
        numbers = Counter(connection.scalars(select(Process.dispatch_no)))
    # Each as often as it stands, none twice; a little over the window when both looked at once.
    assert set(numbers) == {0, 1}
    assert 100 <= numbers[1] <= 200
    assert broker.depth(queue) == numbers[1]
    broker.close()
