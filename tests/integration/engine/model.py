"""The engine as a pure model: what each event means, without counters, locks or SQL.

The database keeps counters so that a poll stays cheap. The model has none: it looks at the
parents every time. Where the two agree after every step, the counters are right.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from tianyu.schema.errors import LostClaimError
from tianyu.schema.states import BAD, CANCELLABLE, RESCUABLE, ErrorKind, Outcome, State
from tianyu.schema.transitions.dispatch import Dispatch


@dataclass
class Node:
    """One process."""

    parents: frozenset[int]
    queue: int
    priority: int
    repeatable: bool
    state: State = State.WAITING
    is_counted: bool = False
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    dispatch_no: int = 0
    is_confirmed: bool = False
    is_due: bool = True
    token: str | None = None
    is_expired: bool = False
    cancel_requested: bool = False
    outcomes: list[Outcome] = field(default_factory=list)


class Model:
    """All processes, and what may happen to them."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {}

    # -- what the counters of the database should say ---------------------------------------

    def pending(self, pid: int) -> int:
        """Count the parents that have not succeeded."""
        return sum(self.nodes[p].state is not State.SUCCEEDED for p in self.nodes[pid].parents)

    def bad_parents(self, pid: int) -> int:
        """Count the parents that the blocking rule has told of."""
        return sum(self.nodes[p].is_counted for p in self.nodes[pid].parents)

    def differing(self) -> set[int]:
        """Return the processes that the blocking rule has yet to tell of."""
        return {pid for pid, n in self.nodes.items() if n.is_counted != (n.state in BAD)}

    def live(self, pid: int, token: str) -> bool:
        """Tell whether a claim holds."""
        return self.nodes[pid].state is State.RUNNING and self.nodes[pid].token == token

    # -- publishers ---------------------------------------------------------------------------

    def publish(self, pid: int, node: Node) -> None:
        """Add a process."""
        self.nodes[pid] = node
        node.state = self._resting(pid)

    # -- managers -----------------------------------------------------------------------------

    def take_ready(self, queue: int, limit: int) -> list[Dispatch]:
        """Queue the most urgent due processes."""
        taken = []
        for pid in self._due([queue])[:limit]:
            node = self.nodes[pid]
            node.state, node.is_confirmed = State.QUEUED, False
            node.dispatch_no += 1
            taken.append(Dispatch(pid, node.dispatch_no))
        return taken

    def confirm(self, dispatches: Iterable[Dispatch]) -> int:
        """Note what the broker holds; late confirms of earlier dispatches mean nothing."""
        nodes = [(self.nodes[d.process_id], d.dispatch_no) for d in dispatches]
        mine = [n for n, no in nodes if n.state is State.QUEUED and n.dispatch_no == no]
        for node in mine:
            node.is_confirmed = True
        return len(mine)

    def return_queued(self, *, confirmed: bool, queue: int | None = None) -> int:
        """Take back what is queued, all of it long ago."""
        lost = [
            node
            for node in self.nodes.values()
            if node.state is State.QUEUED
            and node.is_confirmed == confirmed
            and queue in {None, node.queue}
        ]
        for node in lost:
            node.state, node.is_confirmed = State.READY, False
        return len(lost)

    def reap(self, budget: int) -> dict[int, State]:
        """Take back what has expired."""
        reaped = {}
        for pid, node in self.nodes.items():
            if node.state is State.RUNNING and node.is_expired:
                node.losses += 1
                if node.cancel_requested:
                    state = State.CANCELLED
                elif not node.repeatable or node.losses >= budget:
                    state = State.FAILED
                else:
                    state = State.READY
                self._end(pid, state, Outcome.LEASE_LOST)
                reaped[pid] = state
        return reaped

    def tell(self, flipped: Collection[int]) -> None:
        """Tell the children of these processes; which come first is the database's choice."""
        assert set(flipped) <= self.differing(), f"{flipped} were told of without a reason"
        for pid in flipped:
            self.nodes[pid].is_counted = not self.nodes[pid].is_counted
        self._settle()

    # -- workers ------------------------------------------------------------------------------

    def next_ready(
        self, queues: Collection[int], states: Collection[State] = (State.READY,)
    ) -> int | None:
        """Return the most urgent due process, whether it was handed to a broker or not."""
        return next(iter(self._due(queues, states)), None)

    def is_claimable(self, pid: int, queues: Collection[int]) -> bool:
        """Tell whether a hint leads anywhere."""
        return self.nodes[pid].state is State.QUEUED and self.nodes[pid].queue in queues

    def claim(self, pid: int, token: str) -> int:
        """Start an attempt and return its number."""
        node = self.nodes[pid]
        node.state, node.token, node.is_expired = State.RUNNING, token, False
        node.attempt += 1
        node.cancel_requested = False
        return node.attempt

    def heartbeat(self, pid: int, token: str) -> bool | None:
        """Extend a lease."""
        node = self.nodes[pid]
        if node.state is State.SUCCEEDED and node.token == token:
            return False
        if not self.live(pid, token):
            return None
        self.nodes[pid].is_expired = False
        return self.nodes[pid].cancel_requested

    def succeed(self, pid: int, token: str) -> None:
        """End an attempt well."""
        self._fence(pid, token)
        self._end(pid, State.SUCCEEDED, Outcome.SUCCEEDED)
        self._settle()

    def fail(self, pid: int, token: str, kind: ErrorKind, budget: int) -> State:
        """End an attempt badly."""
        self._fence(pid, token)
        node = self.nodes[pid]
        node.failures += 1
        if kind is ErrorKind.PERMANENT or node.failures >= budget:
            state = State.FAILED
        else:
            state = State.CANCELLED if node.cancel_requested else State.READY
        node.is_due = state is not State.READY
        self._end(pid, state, Outcome.FAILED)
        return state

    def stop(self, pid: int, token: str) -> None:
        """End an attempt because a person asked for it."""
        self._fence(pid, token)
        self._end(pid, State.CANCELLED, Outcome.CANCELLED)

    def release(self, pid: int, token: str) -> State:
        """End an attempt without fault."""
        self._fence(pid, token)
        state = State.CANCELLED if self.nodes[pid].cancel_requested else State.READY
        self._end(pid, state, Outcome.RELEASED)
        return state

    # -- people -------------------------------------------------------------------------------

    def cancel(self, pids: Collection[int]) -> tuple[int, int]:
        """Cancel at once what has not started, ask for the rest."""
        idle = [pid for pid in pids if self.nodes[pid].state in CANCELLABLE]
        running = [pid for pid in pids if self.nodes[pid].state is State.RUNNING]
        for pid in idle:
            self.nodes[pid].state = State.CANCELLED
        for pid in running:
            self.nodes[pid].cancel_requested = True
        return len(idle), len(running)

    def rescue(self, pids: Collection[int]) -> int:
        """Revive what failed or was cancelled."""
        revived = [pid for pid in pids if self.nodes[pid].state in RESCUABLE]
        for pid in revived:
            node = self.nodes[pid]
            node.failures = node.losses = 0
            node.is_due, node.cancel_requested = True, False
            node.state = self._resting(pid)
        return len(revived)

    # -- the rules ----------------------------------------------------------------------------

    def _resting(self, pid: int) -> State:
        if self.bad_parents(pid):
            return State.BLOCKED
        return State.WAITING if self.pending(pid) else State.READY

    def _settle(self) -> None:
        for pid, node in self.nodes.items():
            if node.state in {State.WAITING, State.BLOCKED}:
                node.state = self._resting(pid)

    def _due(
        self, queues: Collection[int], states: Collection[State] = (State.READY,)
    ) -> list[int]:
        due = [
            (node.priority, pid)
            for pid, node in self.nodes.items()
            if node.state in states and node.is_due and node.queue in queues
        ]
        return [pid for _, pid in sorted(due)]

    def _fence(self, pid: int, token: str) -> None:
        if not self.live(pid, token):
            raise LostClaimError(f"the claim on process {pid} does not hold")

    def _end(self, pid: int, state: State, outcome: Outcome) -> None:
        self.nodes[pid].state = state
        self.nodes[pid].outcomes.append(outcome)
