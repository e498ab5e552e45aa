"""Publishers, managers, workers and people at the same time: nothing is lost or done twice.

The state machine sees one transaction after the other. Here they overlap, as far as the
database lets them.
"""

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable

from sqlalchemy import Connection, insert, select, update
from tests.integration.engine.backends import PRODUCT
from tests.integration.engine.world import LEASE_S, World

from tianyu.schema.database import Database
from tianyu.schema.engine_tables import Attempt, Process
from tianyu.schema.errors import LostClaimError
from tianyu.schema.states import BAD, TERMINAL, ErrorKind, State
from tianyu.schema.transitions import blocking, claim, dispatch, finish, leases, operator
from tianyu.schema.transitions.audit import audit
from tianyu.schema.transitions.publish import ProcessSpec, RunSpec, insert_graph, insert_run

QUEUES = [1, 2]
DURATION_S = 2.0
TIMEOUT_S = 60.0
LOTS = 1000
CHAPTERS = 10
ENOUGH = 20


class Town:
    """Everybody who works on one database at the same time."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.published = 0
        self.errors: list[BaseException] = []
        self._ids = iter(range(1, 1_000_000))
        self._end = 0.0

    def live(self, *jobs: Callable[[random.Random], None]) -> None:
        """Repeat every job on a thread of its own until the time is up."""
        self._end = time.monotonic() + DURATION_S
        threads = [
            threading.Thread(target=self._repeat, args=(job, random.Random(seed)))
            for seed, job in enumerate(jobs)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT_S)
        assert not any(thread.is_alive() for thread in threads), "somebody hangs"
        assert self.errors == []

    def _repeat(self, job: Callable[[random.Random], None], chance: random.Random) -> None:
        try:
            while time.monotonic() < self._end:
                job(chance)
        except Exception as error:  # noqa: BLE001 - shown by the test
            self.errors.append(error)

    # -- jobs ---------------------------------------------------------------------------------

    def publish(self, chance: random.Random) -> None:
        """Hang a small graph on recent processes, some of which are running right now."""
        pids = [next(self._ids) for _ in range(5)]
        recent = list(range(max(1, pids[0] - 40), pids[0]))
        specs = []
        for i, pid in enumerate(pids):
            older = chance.sample(recent, min(2, len(recent))) if i < 3 else []
            parents = {*older, *chance.sample(pids[:i], min(i, 1))}
            specs.append(ProcessSpec(pid, "step", {}, chance.choice(QUEUES), tuple(parents)))

        def work(connection: Connection) -> None:
            run = RunSpec(f"run {pids[0]}", "recipe", 1, {}, "1.0", specs)
            insert_graph(connection, insert_run(connection, run), specs)

        self.database.retry(work)
        self.published += len(pids)
        time.sleep(0.005)

    def work_directly(self, chance: random.Random) -> None:
        """Claim what is ready, as where the database is the queue."""
        if not self.database.is_embedded:
            self.follow_hints(chance)
            return

        def claim_one(connection: Connection) -> claim.Claim | None:
            return claim.claim_next(connection, QUEUES, "worker", LEASE_S)

        self._end_attempt(self.database.retry(claim_one), chance)

    def follow_hints(self, chance: random.Random) -> None:
        """Claim anything that is queued, as after a message."""
        with self.database.read() as connection:
            query = select(Process.id).where(Process.state == State.QUEUED.value).limit(5)
            hints = list(connection.scalars(query))
        if not hints:
            return
        pid, token = chance.choice(hints), claim.new_token()

        def claim_it(connection: Connection) -> claim.Claim | None:
            return claim.claim_queued(connection, pid, QUEUES, "worker", LEASE_S, token)

        self._end_attempt(self.database.retry(claim_it), chance)

    def _end_attempt(self, claimed: claim.Claim | None, chance: random.Random) -> None:
        if claimed is None:
            return
        pid, token = claimed.process_id, claimed.token
        kind = chance.choice([ErrorKind.PERMANENT, ErrorKind.TRANSIENT])
        fails = chance.random() < 0.15

        def work(connection: Connection) -> None:
            if fails:
                failure = finish.Failure(kind, "no")
                finish.fail(connection, pid, token, failure, finish.Usage(), budget=3)
                return
            product = {"process_id": pid, "attempt": claimed.attempt}
            connection.execute(insert(PRODUCT).values(**product))
            finish.succeed(connection, pid, token, finish.Usage())

        # It may have been taken back meanwhile; then its product must not be there.
        with contextlib.suppress(LostClaimError):
            self.database.retry(work)

    def manage(self, chance: random.Random) -> None:
        """Do one round of everything that managers do."""
        queue = chance.choice(QUEUES)
        retry = self.database.retry
        taken = retry(lambda c: dispatch.take_ready(c, queue, 10))
        retry(lambda c: dispatch.confirm(c, taken))
        retry(lambda c: blocking.reconcile(c, limit=20))
        retry(lambda c: dispatch.return_unconfirmed(c, 0.0))
        retry(lambda c: dispatch.return_lost(c, queue, 0.0))
        retry(lambda c: leases.reap(c, budget=LOTS))

    def interfere(self, chance: random.Random) -> None:
        """Cancel, rescue, let leases run out and pauses pass, here and there."""
        newest = max(self.published, 1)
        pids = [chance.randint(max(1, newest - 60), newest) for _ in range(3)]
        way = chance.choice(["cancel", "rescue", "rescue", "expire", "wait"])
        if way == "cancel":
            self.database.retry(lambda c: operator.cancel(c, pids[:1]))
        elif way == "rescue":
            self.database.retry(lambda c: operator.rescue(c, pids))
        else:
            values = {"lease_until": 1} if way == "expire" else {"not_before": 0}
            here = (Process.id.in_(pids), Process.lease_until.is_not(None))
            where = here if way == "expire" else here[:1]
            self.database.retry(lambda c: c.execute(update(Process).where(*where).values(**values)))
        time.sleep(0.002)


def test_at_the_end_every_process_was_done_once_or_waits_for_a_person(world: World) -> None:
    town = Town(world.database)
    # How much happens in a given time depends on the machine: a dull story goes on.
    for _ in range(CHAPTERS):
        town.live(
            town.publish,
            town.work_directly,
            town.follow_hints,
            town.follow_hints,
            town.manage,
            town.manage,
            town.interfere,
        )
        if town.published > ENOUGH and any(_pids_in(world, state) for state in BAD):
            break
    assert town.published > ENOUGH
    with world.database.read() as connection:
        assert audit(connection) == []
    run_dry(world)
    check_the_end(world)


def run_dry(world: World) -> None:
    """Let a last worker and a last manager finish what can be finished."""
    while True:
        world.reconcile()
        running = _pids_in(world, State.RUNNING)
        world.expire(*running)
        world.reap(budget=LOTS)
        world.make_due(*_pids_in(world, State.READY))
        world.dispatch()
        queued = _pids_in(world, State.QUEUED)
        if not queued and not running:
            return
        world.finish(*queued)


def check_the_end(world: World) -> None:
    world.reconcile()
    with world.database.read() as connection:
        assert audit(connection) == []
        states = {row.id: State(row.state) for row in connection.execute(select(Process))}
        claims = {row.id: row.attempt for row in connection.execute(select(Process))}
        log = Counter(connection.scalars(select(Attempt.process_id)))
    assert set(states.values()) <= TERMINAL | {State.BLOCKED}
    succeeded = sorted(pid for pid, state in states.items() if state is State.SUCCEEDED)
    assert world.products() == succeeded
    assert {pid: n for pid, n in claims.items() if n} == log


def _pids_in(world: World, state: State) -> list[int]:
    with world.database.read() as connection:
        query = select(Process.id).where(Process.state == state.value).order_by(Process.id)
        return list(connection.scalars(query))
