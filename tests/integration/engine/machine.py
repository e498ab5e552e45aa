"""Everything that may happen to a graph, in any order, beside the model of what should.

There is one rule, which draws an event by weight. With a rule per event Hypothesis would leave
out about half of them from each story, and the stories that matter need five or six kinds in
a row: a failure, the blocking, a rescue, a claim, a success, and only then the freeing.
"""

from collections.abc import Callable, Collection
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Row, insert, select, update
from tests.integration.engine.backends import PRODUCT, clear, forbidden_changes
from tests.integration.engine.events import EVENTS, QUEUES, an_event, blueprints
from tests.integration.engine.model import Model, Node
from tests.integration.engine.world import publish_run

from tianyu.schema.database import Database
from tianyu.schema.dialects import now_us
from tianyu.schema.engine_tables import Attempt, Process
from tianyu.schema.errors import LostClaimError
from tianyu.schema.states import BAD, TERMINAL, ErrorKind, Outcome, State
from tianyu.schema.transitions import blocking, claim, dispatch, finish, leases, operator
from tianyu.schema.transitions.audit import audit
from tianyu.schema.transitions.publish import ProcessSpec, RunSpec

LEASE_S = 3600.0
FAILURE_BUDGET = 2
LOSS_BUDGET = 2
AN_HOUR_US = 3_600_000_000


class KilledError(Exception):
    """Stands for the death of a program in the middle of a transaction."""


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

    def possible_events(self) -> list[str]:
        """Return the names of what can happen now, each as often as it weighs."""
        return [
            name
            for name, event in EVENTS.items()
            for _ in range(event.weight)
            if event.is_possible(self)
        ]

    @rule(event=an_event)
    def step(self, event: tuple[str, tuple[Any, ...]]) -> None:
        name, arguments = event
        getattr(self, name)(*arguments)

    # -- publishers ---------------------------------------------------------------------------

    @initialize(blueprint=blueprints)
    def publish_first(self, blueprint: list[dict[str, Any]]) -> None:
        self.publish(blueprint, [])

    def publish(self, blueprint: list[dict[str, Any]], older: list[int]) -> None:
        """Publish a graph, parts of which hang on older parents."""
        first = len(self.model.nodes) + 1
        specs = []
        for i, plan in enumerate(blueprint):
            inner = {first + i - back for back in plan["back"] if back <= i}
            parents = tuple(sorted(inner | set(older[:i] if inner else older)))
            specs.append(
                ProcessSpec(
                    first + i, "step", {}, plan["queue"], parents, plan["priority"],
                    plan["repeatable"],
                )
            )  # fmt: skip
        with self.database.write() as connection:
            publish_run(connection, RunSpec(f"run {first}", "recipe", 1, {}, "1.0", specs))
        for s in specs:
            node = Node(frozenset(s.parents), s.queue_id, s.priority, s.repeatable)
            self.model.publish(s.id, node)

    # -- managers, and a broker that loses, repeats and reorders ------------------------------

    def hand_over(self, queue: int, limit: int, copies: list[int], confirmed: bool) -> None:
        with self.database.write() as connection:
            taken = dispatch.take_ready(connection, queue, limit)
        assert taken == self.model.take_ready(queue, limit)
        for d, n in zip(taken, copies, strict=False):
            self.messages += [d.process_id] * n
        self.unconfirmed += taken
        if confirmed:
            self._confirm(taken)

    def disturb_the_broker(self, way: str, late: dispatch.Dispatch | None, queue: int) -> None:
        if way == "late confirm":
            self._confirm([late] if late else [])
        elif way == "sweep":
            self._return_unconfirmed()
        else:
            # Harmless even where the messages are still there, and come later.
            if way == "wiped":
                self.messages = [p for p in self.messages if self._node(p).queue != queue]
            self._return_lost(queue)

    def _confirm(self, dispatches: list[dispatch.Dispatch]) -> None:
        with self.database.write() as connection:
            confirmed = dispatch.confirm(connection, dispatches)
        assert confirmed == self.model.confirm(dispatches)

    def _return_unconfirmed(self) -> None:
        self._execute(_AGE)
        with self.database.write() as connection:
            returned = dispatch.return_unconfirmed(connection)
        assert returned == self.model.return_queued(confirmed=False)

    def _return_lost(self, queue: int) -> None:
        self._execute(_AGE)
        with self.database.write() as connection:
            returned = dispatch.return_lost(connection, queue)
        assert returned == self.model.return_queued(confirmed=True, queue=queue)

    def reconcile(self, limit: int) -> None:
        expected = min(limit, len(self.model.differing()))
        with self.database.write() as connection:
            assert blocking.reconcile(connection, limit=limit) == expected
        flipped = [p for p, r in self._rows().items() if r.bad_counted != self._node(p).is_counted]
        assert len(flipped) == expected
        self.model.tell(flipped)

    def lease_runs_out(self, claimed: claim.Claim, way: str) -> None:
        if "expires" in way:
            self._expire(claimed)
        if "seen" in way:
            self._reap()

    def _expire(self, claimed: claim.Claim) -> None:
        self._set(claimed.process_id, lease_until=1)
        self._node(claimed.process_id).is_expired = True

    def _reap(self) -> None:
        with self.database.write() as connection:
            reaped = leases.reap(connection, budget=LOSS_BUDGET)
        assert {r.process_id: r.state for r in reaped} == self.model.reap(LOSS_BUDGET)

    # -- workers ------------------------------------------------------------------------------

    def claim_directly(
        self, queues: tuple[int, ...], states: tuple[State, ...] = (State.READY,)
    ) -> None:
        with self.database.write() as connection:
            claimed = claim.claim_next(connection, queues, "worker", LEASE_S, from_states=states)
        assert (claimed and claimed.process_id) == self.model.next_ready(queues, states)
        self._begin(claimed)

    def succeed_and_claim_on(
        self, claimed: claim.Claim, queues: tuple[int, ...], states: tuple[State, ...], dies: bool
    ) -> None:
        """End an attempt and make the next claim in one transaction, which may be cut off."""
        pid, token = claimed.process_id, claimed.token
        following = None
        try:
            with self.database.write() as connection:
                product = {"process_id": pid, "attempt": claimed.attempt}
                connection.execute(insert(PRODUCT).values(**product))
                finish.succeed(connection, pid, token, finish.Usage())
                following = claim.claim_next(
                    connection, queues, "worker", LEASE_S, from_states=states
                )
                _die_if(dies)
        except KilledError:
            # Whoever did it is gone; what it left is what was there before.
            return
        self.model.succeed(pid, token)
        assert (following and following.process_id) == self.model.next_ready(queues, states)
        self._begin(following)

    def follow_a_hint(self, pid: int, keep: bool, queues: tuple[int, ...]) -> None:
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

    def work_through(self, queues: tuple[int, ...], count: int) -> None:
        for _ in range(count):
            if self.model.next_ready(queues) is not None:
                self.claim_directly(queues)
                self._succeed(self.claims[-1])

    def end(self, claimed: claim.Claim, way: str) -> None:
        self._end(claimed, way)

    def do_as_perhaps_a_zombie(self, claimed: claim.Claim, way: str) -> None:
        if way == "beat":
            self._beat(claimed)
        else:
            self._end(claimed, way)

    def _end(self, claimed: claim.Claim, way: str) -> None:
        if way == "succeed":
            self._succeed(claimed)
        elif way in {"stop", "release"}:
            self._give_up(claimed, way)
        else:
            self._fail(claimed, ErrorKind(way))

    def _beat(self, claimed: claim.Claim) -> None:
        with self.database.write() as connection:
            answer = claim.heartbeat(connection, claimed.process_id, claimed.token, LEASE_S)
        assert answer == self.model.heartbeat(claimed.process_id, claimed.token)

    def _succeed(self, claimed: claim.Claim) -> None:
        pid, token = claimed.process_id, claimed.token

        def work() -> None:
            with self.database.write() as connection:
                product = {"process_id": pid, "attempt": claimed.attempt}
                connection.execute(insert(PRODUCT).values(**product))
                finish.succeed(connection, pid, token, finish.Usage())

        assert _fenced(work) == _fenced(lambda: self.model.succeed(pid, token))

    def _fail(self, claimed: claim.Claim, kind: ErrorKind) -> None:
        pid, token = claimed.process_id, claimed.token

        def work() -> State:
            failure = finish.Failure(kind, "no")
            with self.database.write() as connection:
                return finish.fail(
                    connection, pid, token, failure, finish.Usage(), budget=FAILURE_BUDGET
                )

        state = _fenced(work)
        assert state == _fenced(lambda: self.model.fail(pid, token, kind, FAILURE_BUDGET))
        if state is State.READY:
            pause_s = self._pause_s(pid)
            assert 0.5 < pause_s < 2.5, f"the pause after the first failure is {pause_s} s"
            # Only people let it pass here, however slow the machine is.
            self._set(pid, not_before=now_us() + AN_HOUR_US)

    def _give_up(self, claimed: claim.Claim, way: str) -> None:
        pid, token = claimed.process_id, claimed.token

        def work() -> State | None:
            with self.database.write() as connection:
                if way == "stop":
                    finish.cancel_running(connection, pid, token, finish.Usage())
                    return None
                return finish.release(connection, pid, token, finish.Usage())

        expected = self.model.stop if way == "stop" else self.model.release
        assert _fenced(work) == _fenced(lambda: expected(pid, token))

    # -- people, and time ---------------------------------------------------------------------

    def cancel(self, pid: int) -> None:
        with self.database.write() as connection:
            assert operator.cancel(connection, [pid]) == self.model.cancel([pid])

    def rescue(self, *pids: int) -> None:
        with self.database.write() as connection:
            assert operator.rescue(connection, set(pids)) == self.model.rescue(set(pids))

    def let_the_pauses_pass(self) -> None:
        for pid in self.pausing():
            self._set(pid, not_before=0)
            self._node(pid).is_due = True

    # -- what must hold after every step ------------------------------------------------------

    @invariant()
    def rows_say_what_the_model_says(self) -> None:
        rows = self._rows()
        assert sorted(rows) == sorted(self.model.nodes)
        for pid, row in rows.items():
            node = self._node(pid)
            stored = (
                row.state, row.pending, row.bad_parents, row.bad_counted, row.attempt,
                row.failures, row.lease_losses, row.dispatch_no, row.lease_until is not None,
            )  # fmt: skip
            expected = (
                node.state, self.model.pending(pid), self.model.bad_parents(pid),
                node.is_counted, node.attempt, node.failures, node.losses, node.dispatch_no,
                node.state is State.RUNNING,
            )  # fmt: skip
            assert stored == expected, f"process {pid}"
            if node.state is State.RUNNING:
                assert row.claim_token == node.token, f"process {pid} has two owners"
                assert row.cancel_requested == node.cancel_requested, f"process {pid}"
            if node.state is State.QUEUED:
                assert (row.confirmed_at is not None) == node.is_confirmed, f"process {pid}"

    @invariant()
    def nothing_starts_before_its_parents(self) -> None:
        for pid, node in self.model.nodes.items():
            assert not (node.attempt and self.model.pending(pid)), f"process {pid} has started"

    # -- and when nothing moves any more --------------------------------------------------------

    def teardown(self) -> None:
        """Let everything that can still happen happen, then look at the whole story."""
        if self.model.nodes:
            self.rows_say_what_the_model_says()
            self._run_dry()
            self.rows_say_what_the_model_says()
            self._check_the_end()

    def _run_dry(self) -> None:
        before = None
        while before != (before := {pid: n.state for pid, n in self.model.nodes.items()}):
            self.reconcile(200)
            for claimed in self.live_claims():
                self._expire(claimed)
            self._reap()
            self.let_the_pauses_pass()
            self._return_unconfirmed()
            for queue in QUEUES:
                self._return_lost(queue)
            self.work_through(QUEUES, len(self.model.nodes))

    def _check_the_end(self) -> None:
        assert not self.model.differing()
        for pid, node in self.model.nodes.items():
            has_bad_parent = any(self._node(p).state in BAD for p in node.parents)
            is_over = node.state in TERMINAL or (node.state is State.BLOCKED and has_bad_parent)
            assert is_over, f"process {pid} is {node.state} for ever"
        with self.database.read() as connection:
            assert audit(connection) == []
            products = sorted(connection.scalars(select(PRODUCT.c.process_id)))
            log = connection.execute(_LOG).all()
        assert products == self.processes_in([State.SUCCEEDED]), "a product is missing or double"
        for pid, node in self.model.nodes.items():
            outcomes = [Outcome(row.outcome) for row in log if row.process_id == pid]
            assert outcomes == node.outcomes, f"attempts of process {pid}"
            assert len(outcomes) == node.attempt, f"attempts of process {pid}"
        assert forbidden_changes(self.database) == set()

    # -- what there is to choose from ---------------------------------------------------------

    def live_claims(self) -> list[claim.Claim]:
        """Return the claims that hold."""
        return [c for c in self.claims if self.model.live(c.process_id, c.token)]

    def contested_claims(self) -> list[claim.Claim]:
        """Return the lost claims on processes that somebody else is running by now."""
        running, live = self.processes_in([State.RUNNING]), self.live_claims()
        return [c for c in self.claims if c.process_id in running and c not in live]

    def outdated_dispatches(self) -> list[dispatch.Dispatch]:
        """Return the earlier dispatches of processes that were handed over again since."""
        queued = self.processes_in([State.QUEUED])
        mine = [d for d in self.unconfirmed if d.process_id in queued]
        return [d for d in mine if d.dispatch_no != self._node(d.process_id).dispatch_no]

    def pausing(self) -> list[int]:
        """Return the processes that must not be tried again yet."""
        return [pid for pid, node in self.model.nodes.items() if not node.is_due]

    def claimable(self) -> list[int]:
        """Return what is ready and due; where there is none, what is ready."""
        ready = self.processes_in([State.READY])
        return [pid for pid in ready if self._node(pid).is_due] or ready

    def processes_in(self, states: Collection[State]) -> list[int]:
        """Return the processes in these states."""
        return sorted(pid for pid, node in self.model.nodes.items() if node.state in states)

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

    def _set(self, pid: int, **values: Any) -> None:
        self._execute(update(Process).where(Process.id == pid).values(**values))

    def _execute(self, statement: Any) -> None:
        with self.database.write() as connection:
            connection.execute(statement)


def _die_if(planned: bool) -> None:
    if planned:
        raise KilledError


def _fenced(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except LostClaimError:
        return "lost"


_ALL = select(Process).order_by(Process.id)
_LOG = select(Attempt.process_id, Attempt.outcome).order_by(Attempt.number)
_AGE = update(Process).values(
    dispatched_at=Process.dispatched_at - AN_HOUR_US,
    confirmed_at=Process.confirmed_at - AN_HOUR_US,
)
