"""Everything that may happen to a graph, in any order, beside the model of what should."""

from collections.abc import Callable, Collection
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Row, func, insert, select, update

from tests.integration.engine.backends import PRODUCT, clear, forbidden_changes
from tests.integration.engine.model import Model, Node
from tianyu.schema.database import Database
from tianyu.schema.dialects import now_us
from tianyu.schema.engine_tables import Attempt, Process
from tianyu.schema.errors import LostClaimError
from tianyu.schema.states import BAD, RESCUABLE, TERMINAL, ErrorKind, Outcome, State
from tianyu.schema.transitions import blocking, claim, dispatch, finish, leases, operator
from tianyu.schema.transitions.audit import audit
from tianyu.schema.transitions.publish import ProcessSpec, RunSpec, publish_run

QUEUES = (1, 2)
LEASE_S = 3600.0
FAILURE_BUDGET = 2
LOSS_BUDGET = 2
MOST_PROCESSES = 8
"""Small graphs: more happens to each process."""
AN_HOUR_US = 3_600_000_000

some_queues = st.sampled_from([(1,), (2,), (1, 2)])
lengths = st.integers(min_value=1, max_value=3)


def _from(choices: Callable[["EngineMachine"], Any]) -> Any:
    """Draw one of the things that the machine has at that moment."""
    return st.runner().flatmap(lambda machine: st.sampled_from(choices(machine)))


def _when(*states: State) -> Callable[[Any], Any]:
    """Leave a rule out while no process is in these states: a story of idle steps tells little."""
    return precondition(lambda machine: machine.processes_in(states))


a_process = _from(lambda m: sorted(m.model.nodes))
some_processes = st.lists(a_process, min_size=1, max_size=3, unique=True)
a_failed_process = _from(lambda m: m.processes_in(RESCUABLE))
a_live_claim = _from(lambda m: m.live_claims())
an_old_claim = _from(lambda m: m.contested_claims() or m.claims)
a_claim = st.one_of(a_live_claim, an_old_claim)
blueprints = st.lists(
    st.fixed_dictionaries(
        {
            "queue": st.sampled_from(QUEUES),
            "priority": st.integers(0, 2),
            "repeatable": st.booleans(),
            # Parents within the graph, counted back from the process.
            "back": st.sets(st.integers(1, 3), max_size=2),
        }
    ),
    min_size=1,
    max_size=4,
)


class EngineMachine(RuleBasedStateMachine):
    """Publishers, managers, workers, people and a bad broker on one database."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        clear(self.database)
        self.model = Model()
        self.claims: list[claim.Claim] = []
        self.messages: list[int] = []
        self.unconfirmed: list[dispatch.Dispatch] = []

    def live_claims(self) -> list[claim.Claim]:
        """Return the claims that hold."""
        return [c for c in self.claims if self.model.live(c.process_id, c.token)]

    def contested_claims(self) -> list[claim.Claim]:
        """Return the lost claims on processes that somebody else is running by now."""
        running = set(self.processes_in([State.RUNNING]))
        live = self.live_claims()
        return [c for c in self.claims if c.process_id in running and c not in live]

    def outdated_dispatches(self) -> list[dispatch.Dispatch]:
        """Return the earlier dispatches of processes that were handed over again since."""
        queued = set(self.processes_in([State.QUEUED]))
        mine = [d for d in self.unconfirmed if d.process_id in queued]
        return [d for d in mine if d.dispatch_no != self._node(d.process_id).dispatch_no]

    def processes_in(self, states: Collection[State]) -> list[int]:
        """Return the processes in these states."""
        return sorted(pid for pid, node in self.model.nodes.items() if node.state in states)

    # -- publishers ---------------------------------------------------------------------------

    @initialize(blueprint=blueprints)
    def publish_first(self, blueprint: list[dict[str, Any]]) -> None:
        self.publish(blueprint, [])

    @precondition(lambda self: len(self.model.nodes) < MOST_PROCESSES)
    @rule(blueprint=blueprints, parents=st.lists(a_process, max_size=3, unique=True))
    def publish_more(self, blueprint: list[dict[str, Any]], parents: list[int]) -> None:
        self.publish(blueprint, parents)

    def publish(self, blueprint: list[dict[str, Any]], parents: list[int]) -> None:
        """Publish a graph; its first process, and those near it, hang on older parents."""
        first = len(self.model.nodes) + 1
        specs = []
        for i, plan in enumerate(blueprint):
            inner = {first + i - back for back in plan["back"] if back <= i}
            outer = set(parents) if not inner else set(parents[:i])
            specs.append(
                ProcessSpec(
                    first + i, "step", {}, plan["queue"], tuple(sorted(inner | outer)),
                    plan["priority"], plan["repeatable"],
                )
            )  # fmt: skip
        with self.database.write() as connection:
            publish_run(connection, RunSpec(f"run {first}", "recipe", 1, {}, "1.0", specs))
        for s in specs:
            node = Node(frozenset(s.parents), s.queue_id, s.priority, s.repeatable)
            self.model.publish(s.id, node)

    # -- managers, and a broker that loses, repeats and reorders ------------------------------

    @_when(State.READY)
    @rule(
        queue=st.sampled_from(QUEUES),
        limit=lengths,
        copies=st.lists(st.integers(0, 2), min_size=3, max_size=3),
        confirm=st.booleans(),
    )
    def take_ready(self, queue: int, limit: int, copies: list[int], confirm: bool) -> None:
        with self.database.write() as connection:
            taken = dispatch.take_ready(connection, queue, limit)
        assert taken == self.model.take_ready(queue, limit)
        for d, n in zip(taken, copies, strict=False):
            self.messages += [d.process_id] * n
        self.unconfirmed += taken
        if confirm:
            self.confirm(taken)

    @precondition(lambda self: self.unconfirmed)
    @rule(late=_from(lambda m: m.outdated_dispatches() or m.unconfirmed))
    def confirm_late(self, late: dispatch.Dispatch) -> None:
        self.confirm([late])

    def confirm(self, dispatches: list[dispatch.Dispatch]) -> None:
        """Confirm in the database and in the model."""
        with self.database.write() as connection:
            confirmed = dispatch.confirm(connection, dispatches)
        assert confirmed == self.model.confirm(dispatches)

    @_when(State.QUEUED)
    @rule()
    def return_unconfirmed(self) -> None:
        self._age_dispatches()
        with self.database.write() as connection:
            returned = dispatch.return_unconfirmed(connection)
        assert returned == self.model.return_queued(confirmed=False)

    @_when(State.QUEUED)
    @rule(queue=st.sampled_from(QUEUES), wipe=st.booleans())
    def return_lost(self, queue: int, wipe: bool) -> None:
        # Harmless even where the messages are still there, and come later.
        if wipe:
            self.messages = [p for p in self.messages if self.model.nodes[p].queue != queue]
        self._age_dispatches()
        with self.database.write() as connection:
            returned = dispatch.return_lost(connection, queue)
        assert returned == self.model.return_queued(confirmed=True, queue=queue)

    @rule(limit=st.sampled_from([1, 2, 200]))
    def reconcile(self, limit: int) -> None:
        expected = min(limit, len(self.model.differing()))
        with self.database.write() as connection:
            assert blocking.reconcile(connection, limit=limit) == expected
        flipped = [p for p, r in self._rows().items() if r.bad_counted != self._node(p).is_counted]
        assert len(flipped) == expected
        self.model.tell(flipped)

    @_when(State.RUNNING)
    @rule(claimed=a_live_claim)
    def vanish(self, claimed: claim.Claim) -> None:
        self.expire(claimed)
        self.reap()

    @_when(State.RUNNING)
    @rule(claimed=a_live_claim)
    def expire(self, claimed: claim.Claim) -> None:
        self._set(claimed.process_id, lease_until=1)
        self._node(claimed.process_id).is_expired = True

    @_when(State.RUNNING)
    @rule()
    def reap(self) -> None:
        with self.database.write() as connection:
            reaped = leases.reap(connection, budget=LOSS_BUDGET)
        assert {r.process_id: r.state for r in reaped} == self.model.reap(LOSS_BUDGET)

    # -- workers ------------------------------------------------------------------------------

    @_when(State.READY)
    @rule(queues=some_queues)
    def claim_next(self, queues: tuple[int, ...]) -> None:
        with self.database.write() as connection:
            claimed = claim.claim_next(connection, queues, "worker", LEASE_S)
        expected = self.model.next_ready(queues)
        assert (claimed and claimed.process_id) == expected
        self._begin(claimed)

    @precondition(lambda self: self.messages)
    @rule(pid=_from(lambda m: m.messages), keep=st.booleans(), queues=some_queues)
    def follow_hint(self, pid: int, keep: bool, queues: tuple[int, ...]) -> None:
        if not keep:
            self.messages.remove(pid)
        with self.database.write() as connection:
            claimed = claim.claim_queued(connection, pid, queues, "worker", LEASE_S)
        assert (claimed is not None) == self.model.is_claimable(pid, queues)
        self._begin(claimed)

    def _begin(self, claimed: claim.Claim | None) -> None:
        if claimed is None:
            return
        parents = self._node(claimed.process_id).parents
        assert all(self._node(p).state is State.SUCCEEDED for p in parents), "started too early"
        assert claimed.attempt == self.model.claim(claimed.process_id, claimed.token)
        assert claimed.token not in {c.token for c in self.claims}
        self.claims.append(claimed)

    @precondition(lambda self: self.claims)
    @rule(claimed=an_old_claim)
    def heartbeat(self, claimed: claim.Claim) -> None:
        with self.database.write() as connection:
            answer = claim.heartbeat(connection, claimed.process_id, claimed.token, LEASE_S)
        assert answer == self.model.heartbeat(claimed.process_id, claimed.token)

    @_when(State.RUNNING)
    @rule(claimed=a_claim)
    def succeed(self, claimed: claim.Claim) -> None:
        self._succeed(claimed)

    @_when(State.READY)
    @rule(queues=some_queues, count=lengths)
    def work_through(self, queues: tuple[int, ...], count: int) -> None:
        for _ in range(count):
            if self.model.next_ready(queues) is not None:
                self.claim_next(queues)
                self._succeed(self.claims[-1])

    def _succeed(self, claimed: claim.Claim) -> None:
        def work() -> None:
            with self.database.write() as connection:
                values = {"process_id": claimed.process_id, "attempt": claimed.attempt}
                connection.execute(insert(PRODUCT).values(**values))
                finish.succeed(connection, claimed.process_id, claimed.token, finish.Usage())

        expected = self.model.live(claimed.process_id, claimed.token)
        assert self._fenced(work) == (None if expected else "lost")
        if expected:
            self.model.succeed(claimed.process_id, claimed.token)

    @_when(State.RUNNING)
    @rule(claimed=a_claim, kind=st.sampled_from(ErrorKind))
    def fail(self, claimed: claim.Claim, kind: ErrorKind) -> None:
        pid, token = claimed.process_id, claimed.token

        def work() -> State:
            with self.database.write() as connection:
                failure = finish.Failure(kind, "no")
                return finish.fail(
                    connection, pid, token, failure, finish.Usage(), budget=FAILURE_BUDGET
                )

        state = self._fenced(work)
        assert state == self._fenced(lambda: self.model.fail(pid, token, kind, FAILURE_BUDGET))
        if state is State.READY:
            pause_s = self._pause_s(pid)
            assert 0.5 < pause_s < 4.5, f"the pause after the first failure is {pause_s} s"
            # Only the rule below lets it pass, however slow the machine is.
            self._set(pid, not_before=now_us() + AN_HOUR_US)

    @precondition(lambda self: not all(n.is_due for n in self.model.nodes.values()))
    @rule()
    def let_the_pauses_pass(self) -> None:
        for pid, node in self.model.nodes.items():
            if not node.is_due:
                self._set(pid, not_before=0)
                node.is_due = True

    @_when(State.RUNNING)
    @rule(claimed=a_claim, way=st.sampled_from(["stop", "release"]))
    def give_up(self, claimed: claim.Claim, way: str) -> None:
        pid, token = claimed.process_id, claimed.token

        def work() -> State | None:
            with self.database.write() as connection:
                if way == "stop":
                    finish.cancel_running(connection, pid, token, finish.Usage())
                    return None
                return finish.release(connection, pid, token, finish.Usage())

        expected = self.model.stop if way == "stop" else self.model.release
        assert self._fenced(work) == self._fenced(lambda: expected(pid, token))

    @staticmethod
    def _fenced(work: Callable[[], Any]) -> Any:
        try:
            return work()
        except LostClaimError:
            return "lost"

    # -- people -------------------------------------------------------------------------------

    @rule(pids=some_processes)
    def cancel(self, pids: list[int]) -> None:
        with self.database.write() as connection:
            assert operator.cancel(connection, pids) == self.model.cancel(pids)

    @_when(*RESCUABLE)
    @rule(pid=a_failed_process, others=some_processes)
    def rescue(self, pid: int, others: list[int]) -> None:
        pids = {pid, *others}
        with self.database.write() as connection:
            assert operator.rescue(connection, pids) == self.model.rescue(pids)

    # -- what must hold after every step ------------------------------------------------------

    @invariant()
    def rows_say_what_the_model_says(self) -> None:
        for pid, row in self._rows().items():
            node = self._node(pid)
            assert row.state == node.state, f"process {pid}"
            assert row.pending == self.model.pending(pid), f"process {pid}"
            assert row.bad_parents == self.model.bad_parents(pid), f"process {pid}"
            assert row.bad_counted == node.is_counted, f"process {pid}"
            counters = (row.attempt, row.failures, row.lease_losses, row.dispatch_no)
            expected = (node.attempt, node.failures, node.losses, node.dispatch_no)
            assert counters == expected, f"process {pid}"
            is_running = node.state is State.RUNNING
            assert (row.lease_until is not None) == is_running, f"process {pid}"
            if is_running:
                assert row.claim_token == node.token, f"process {pid} has two owners"
                assert row.cancel_requested == node.cancel_requested, f"process {pid}"
            if node.state is State.QUEUED:
                assert (row.confirmed_at is not None) == node.is_confirmed, f"process {pid}"

    @invariant()
    def nothing_starts_before_its_parents(self) -> None:
        for pid, node in self.model.nodes.items():
            if node.attempt:
                assert self.model.pending(pid) == 0, f"process {pid} has started"

    def teardown(self) -> None:
        """Let everything that can still happen happen, then look at the whole story."""
        if self.model.nodes:
            self.rows_say_what_the_model_says()
            self._run_dry()
            self.check_the_end()

    def _run_dry(self) -> None:
        moved = True
        while moved:
            before = {pid: n.state for pid, n in self.model.nodes.items()}
            self.reconcile(200)
            for claimed in self.live_claims():
                self.expire(claimed)
            self.reap()
            self.let_the_pauses_pass()
            self.return_unconfirmed()
            for queue in QUEUES:
                self.return_lost(queue, wipe=True)
            while self.model.next_ready(QUEUES) is not None:
                self.claim_next(QUEUES)
                self._succeed(self.claims[-1])
            moved = before != {pid: n.state for pid, n in self.model.nodes.items()}
        self.rows_say_what_the_model_says()

    def check_the_end(self) -> None:
        """When nothing moves, every process is terminal or blocked, and was made once."""
        assert not self.model.differing()
        for pid, node in self.model.nodes.items():
            has_bad_parent = any(self._node(p).state in BAD for p in node.parents)
            assert node.state in TERMINAL or (node.state is State.BLOCKED and has_bad_parent)
        with self.database.read() as connection:
            assert audit(connection) == []
            products = connection.scalars(select(PRODUCT.c.process_id)).all()
            log = connection.execute(
                select(Attempt.process_id, Attempt.outcome).order_by(Attempt.number)
            ).all()
            assert connection.scalar(select(func.count()).select_from(Process)) == len(
                self.model.nodes
            )
        succeeded = [p for p, n in self.model.nodes.items() if n.state is State.SUCCEEDED]
        assert sorted(products) == succeeded, "a product is missing, or there twice"
        for pid, node in self.model.nodes.items():
            outcomes = [Outcome(row.outcome) for row in log if row.process_id == pid]
            assert outcomes == node.outcomes, f"attempts of process {pid}"
            assert len(outcomes) == node.attempt, f"attempts of process {pid}"
        assert forbidden_changes(self.database) == set()

    # -- helpers ------------------------------------------------------------------------------

    def _node(self, pid: int) -> Node:
        return self.model.nodes[pid]

    def _rows(self) -> dict[int, Row[Any]]:
        with self.database.read() as connection:
            return {row.id: row for row in connection.execute(_ALL)}

    def _pause_s(self, pid: int) -> float:
        with self.database.read() as connection:
            left = connection.scalar(select(Process.not_before - now_us()).where(Process.id == pid))
        return float(left or 0) / 1e6

    def _age_dispatches(self) -> None:
        with self.database.write() as connection:
            connection.execute(_AGE)

    def _set(self, pid: int, **values: Any) -> None:
        with self.database.write() as connection:
            connection.execute(update(Process).where(Process.id == pid).values(**values))


_ALL = select(Process).order_by(Process.id)
_AGE = update(Process).values(
    dispatched_at=Process.dispatched_at - AN_HOUR_US,
    confirmed_at=Process.confirmed_at - AN_HOUR_US,
)
