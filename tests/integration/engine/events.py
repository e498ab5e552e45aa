"""What may happen to a graph: how often, with what, and when at all.

Choices that depend on the moment are drawn from the machine that runs the story.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tianyu.schema.states import RESCUABLE, ErrorKind, State

QUEUES = (1, 2)
MOST_PROCESSES = 8
"""Small graphs: more happens to each process."""

some_queues = st.sampled_from([(1, 2), (1, 2), (1,), (2,)])
SERVED = (State.QUEUED, State.READY)
# Where the table is the queue, and where a broker carries messages.
some_states = st.sampled_from([(State.READY,), SERVED])
_seldom = st.sampled_from([False, False, False, True])
few = st.integers(min_value=1, max_value=3)
a_queue = st.sampled_from(QUEUES)
copies = st.integers(min_value=0, max_value=2)
endings = st.sampled_from(["succeed", "succeed", "succeed", *ErrorKind, "stop", "release"])
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


def _from(choices: Callable[[Any], Any]) -> Any:
    """Draw one of the things that the machine has at that moment."""
    return st.runner().flatmap(lambda machine: st.sampled_from(choices(machine)))


def _any(*states: State) -> Callable[[Any], bool]:
    return lambda machine: bool(machine.processes_in(states))


a_process = _from(lambda m: sorted(m.model.nodes))
a_busy_process = _from(
    lambda m: m.processes_in([State.RUNNING]) or m.processes_in([State.WAITING]) or [1]
)
a_lost_process = _from(lambda m: m.processes_in(RESCUABLE))
a_ready_queue = _from(lambda m: sorted({m.model.nodes[p].queue for p in m.claimable()}))
a_hint = _from(lambda m: [p for p in m.messages if m.model.is_claimable(p, QUEUES)] or m.messages)
a_live_claim = _from(lambda m: m.live_claims())
an_old_claim = _from(lambda m: m.contested_claims() or m.claims)
a_late_confirm = _from(lambda m: m.outdated_dispatches() or m.unconfirmed or [None])


@dataclass(frozen=True)
class Event:
    """How often something happens, with what, and when it can happen at all."""

    weight: int
    arguments: st.SearchStrategy[tuple[Any, ...]]
    is_possible: Callable[[Any], Any]


EVENTS = {
    "publish": Event(
        1,
        st.tuples(blueprints, st.lists(a_process, max_size=3, unique=True)),
        lambda m: len(m.model.nodes) < MOST_PROCESSES,
    ),
    "hand_over": Event(
        1,
        st.tuples(a_ready_queue, few, st.lists(copies, min_size=3, max_size=3), st.booleans()),
        _any(State.READY),
    ),
    "disturb_the_broker": Event(
        1,
        st.tuples(
            st.sampled_from(["late confirm", "sweep", "lost", "wiped"]), a_late_confirm, a_queue
        ),
        _any(State.QUEUED),
    ),
    "reconcile": Event(1, st.tuples(st.sampled_from([1, 2, 200])), lambda _: True),
    "lease_runs_out": Event(
        2,
        st.tuples(a_live_claim, st.sampled_from(["expires and is seen", "expires", "is seen"])),
        _any(State.RUNNING),
    ),
    "claim_directly": Event(3, st.tuples(some_queues, some_states), _any(*SERVED)),
    "succeed_and_claim_on": Event(
        2, st.tuples(a_live_claim, some_queues, some_states, _seldom), _any(State.RUNNING)
    ),
    "follow_a_hint": Event(2, st.tuples(a_hint, st.booleans(), some_queues), lambda m: m.messages),
    "work_through": Event(1, st.tuples(some_queues, few), _any(State.READY)),
    "end": Event(4, st.tuples(a_live_claim, endings), _any(State.RUNNING)),
    "do_as_perhaps_a_zombie": Event(
        2, st.tuples(an_old_claim, st.one_of(st.just("beat"), endings)), lambda m: m.claims
    ),
    "cancel": Event(1, st.tuples(st.one_of(a_busy_process, a_process)), lambda _: True),
    "rescue": Event(2, st.tuples(a_lost_process, a_process), _any(*RESCUABLE)),
    "let_the_pauses_pass": Event(1, st.just(()), lambda m: m.pausing()),
}


def _with_arguments(name: str) -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
    return st.tuples(st.just(name), EVENTS[name].arguments)


an_event = _from(lambda m: m.possible_events()).flatmap(_with_arguments)
