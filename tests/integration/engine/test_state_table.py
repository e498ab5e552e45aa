"""What each event makes of a process in each state; a dot: nothing."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.integration.engine.world import LEASE_S, QUEUE, World

from tianyu.schema.errors import LostClaimError
from tianyu.schema.states import REGISTRY, TRANSITIONS, ErrorKind, State
from tianyu.schema.transitions import dispatch, finish
from tianyu.schema.transitions.claim import Claim, claim_next, claim_queued, heartbeat

TABLE = """
event                waiting    ready      queued     running    succeeded  failed     cancelled  blocked
take_ready           .          queued     .          .          .          .          .          .
claim_next           .          running    .          .          .          .          .          .
follow_hint          .          .          running    .          .          .          .          .
confirm              .          .          .          .          .          .          .          .
return_unconfirmed   .          .          ready      .          .          .          .          .
return_lost          .          .          ready      .          .          .          .          .
beat                 .          .          .          .          .          .          .          .
succeed              .          .          .          succeeded  .          .          .          .
fail_permanently     .          .          .          failed     .          .          .          .
fail_transiently     .          .          .          ready      .          .          .          .
fail_unexpectedly    .          .          .          ready      .          .          .          .
fail_after_cancel    cancelled  cancelled  cancelled  cancelled  .          .          .          cancelled
release_after_cancel cancelled  cancelled  cancelled  cancelled  .          .          .          cancelled
vanish_after_cancel  cancelled  cancelled  cancelled  cancelled  .          .          .          cancelled
stop                 .          .          .          cancelled  .          .          .          .
release              .          .          .          ready      .          .          .          .
vanish               .          .          .          ready      .          .          .          .
vanish_too_often     .          .          .          failed     .          .          .          .
cancel               cancelled  cancelled  cancelled  .          .          .          .          cancelled
rescue               .          .          .          .          .          ready      waiting    .
parent_succeeds      ready      .          .          .          .          .          .          ready
parent_is_rescued    .          .          .          .          .          .          .          waiting
parent_breaks        blocked    .          .          .          .          .          .          .
reconcile            .          .          .          .          .          .          .          .
"""  # noqa: E501 - a table


@dataclass
class Case:
    """A process in some state, its parent, and the token of its last claim."""

    world: World
    pid: int
    parent: int
    token: str = "never claimed"  # noqa: S105 - no secret


def arrange(world: World, state: State) -> Case:
    """Bring a process into a state by what really leads there.

    ``waiting``, ``blocked`` and ``cancelled`` ones still have a parent to wait for.
    """
    pids = world.publish({"parent": [], "child": ["parent"]})
    case = Case(world, pids["child"], pids["parent"])
    if state is State.BLOCKED:
        world.break_(case.parent)
        world.reconcile()
    elif state is State.CANCELLED:
        world.cancel(case.pid)
    elif state is not State.WAITING:
        world.finish(case.parent)
    if state is State.QUEUED:
        world.dispatch()
    elif state in {State.RUNNING, State.SUCCEEDED, State.FAILED}:
        case.token = world.claim(case.pid).token
    if state is State.SUCCEEDED:
        world.succeed(world.claims[case.pid])
    elif state is State.FAILED:
        world.fail(world.claims[case.pid])
    assert world.state(case.pid) is state
    return case


def _claim_of(case: Case) -> Claim:
    return case.world.claims.get(case.pid) or Claim(case.pid, 1, "step", {}, 1, case.token)


def take_ready(case: Case) -> None:
    with case.world.database.write() as connection:
        dispatch.take_ready(connection, QUEUE, 10)


def claim_next_one(case: Case) -> None:
    with case.world.database.write() as connection:
        claim_next(connection, [QUEUE], "worker", LEASE_S)


def follow_hint(case: Case) -> None:
    with case.world.database.write() as connection:
        claim_queued(connection, case.pid, [QUEUE], "worker", LEASE_S)


def confirm(case: Case) -> None:
    number = case.world.row(case.pid).dispatch_no
    with case.world.database.write() as connection:
        dispatch.confirm(connection, [dispatch.Dispatch(case.pid, number)])


def return_unconfirmed(case: Case) -> None:
    case.world.age_dispatches()
    with case.world.database.write() as connection:
        dispatch.return_unconfirmed(connection)


def return_lost(case: Case) -> None:
    confirm(case)
    case.world.age_dispatches()
    with case.world.database.write() as connection:
        dispatch.return_lost(connection, QUEUE)


def beat(case: Case) -> None:
    with case.world.database.write() as connection:
        heartbeat(connection, case.pid, case.token, LEASE_S)


def succeed(case: Case) -> None:
    case.world.succeed(_claim_of(case))


def fail_permanently(case: Case) -> None:
    case.world.fail(_claim_of(case), ErrorKind.PERMANENT)


def fail_transiently(case: Case) -> None:
    case.world.fail(_claim_of(case), ErrorKind.TRANSIENT)


def fail_unexpectedly(case: Case) -> None:
    case.world.fail(_claim_of(case), ErrorKind.UNEXPECTED)


def stop(case: Case) -> None:
    with case.world.database.write() as connection:
        finish.cancel_running(connection, case.pid, case.token, finish.Usage())


def release(case: Case) -> None:
    with case.world.database.write() as connection:
        finish.release(connection, case.pid, case.token, finish.Usage())


def vanish(case: Case) -> None:
    case.world.expire(case.pid)
    case.world.reap()


def vanish_too_often(case: Case) -> None:
    case.world.expire(case.pid)
    case.world.reap(budget=1)


def cancel(case: Case) -> None:
    case.world.cancel(case.pid)


def rescue(case: Case) -> None:
    case.world.rescue(case.pid)


def parent_succeeds(case: Case) -> None:
    case.world.rescue(case.parent)
    if case.world.state(case.parent) is not State.SUCCEEDED:
        with case.world.database.write() as connection:
            dispatch.take_ready(connection, QUEUE, 10)
            claim = claim_queued(connection, case.parent, [QUEUE], "worker", LEASE_S)
        assert claim is not None
        case.world.succeed(claim)
    case.world.reconcile()


def parent_is_rescued(case: Case) -> None:
    case.world.rescue(case.parent)
    case.world.reconcile()


def parent_breaks(case: Case) -> None:
    case.world.cancel(case.parent)
    case.world.reconcile()


def reconcile(case: Case) -> None:
    case.world.reconcile()


def fail_after_cancel(case: Case) -> None:
    cancel(case)
    fail_transiently(case)


def release_after_cancel(case: Case) -> None:
    cancel(case)
    release(case)


def vanish_after_cancel(case: Case) -> None:
    cancel(case)
    vanish(case)


EVENTS: dict[str, Callable[[Case], None]] = {
    "take_ready": take_ready,
    "claim_next": claim_next_one,
    "follow_hint": follow_hint,
    "confirm": confirm,
    "return_unconfirmed": return_unconfirmed,
    "return_lost": return_lost,
    "beat": beat,
    "succeed": succeed,
    "fail_permanently": fail_permanently,
    "fail_transiently": fail_transiently,
    "fail_unexpectedly": fail_unexpectedly,
    "fail_after_cancel": fail_after_cancel,
    "release_after_cancel": release_after_cancel,
    "vanish_after_cancel": vanish_after_cancel,
    "stop": stop,
    "release": release,
    "vanish": vanish,
    "vanish_too_often": vanish_too_often,
    "cancel": cancel,
    "rescue": rescue,
    "parent_succeeds": parent_succeeds,
    "parent_is_rescued": parent_is_rescued,
    "parent_breaks": parent_breaks,
    "reconcile": reconcile,
}
NEED_A_CLAIM = {
    "succeed", "fail_permanently", "fail_transiently", "fail_unexpectedly", "stop", "release",
    "fail_after_cancel", "release_after_cancel",
}  # fmt: skip


def _cells() -> list[tuple[str, State, State]]:
    header, *lines = TABLE.strip().splitlines()
    states = [State(name) for name in header.split()[1:]]
    cells = []
    for line in lines:
        event, *ends = line.split()
        cells += [
            (event, start, start if end == "." else State(end))
            for start, end in zip(states, ends, strict=True)
        ]
    return cells


@pytest.mark.parametrize(("event", "start", "end"), _cells())
def test_an_event_leads_from_a_state_where_the_table_says(
    world: World, event: str, start: State, end: State
) -> None:
    case = arrange(world, start)
    products = world.products()
    if event in NEED_A_CLAIM and start is not State.RUNNING:
        with pytest.raises(LostClaimError):
            EVENTS[event](case)
        assert world.products() == products
    else:
        EVENTS[event](case)
    assert world.state(case.pid) is end


# Where a cancelled process goes when it is rescued depends on its parents.


def test_a_rescued_process_whose_parents_succeeded_is_ready(world: World) -> None:
    case = arrange(world, State.READY)
    world.cancel(case.pid)
    world.rescue(case.pid)
    assert world.state(case.pid) is State.READY


def test_a_rescued_process_with_a_bad_parent_is_blocked(world: World) -> None:
    case = arrange(world, State.BLOCKED)
    world.cancel(case.pid)
    world.rescue(case.pid)
    assert world.state(case.pid) is State.BLOCKED


def test_every_allowed_change_of_state_is_in_a_test_above() -> None:
    shown = {(start, end) for _, start, end in _cells() if start is not end}
    shown |= {(State.CANCELLED, State.READY), (State.CANCELLED, State.BLOCKED)}
    allowed = {(start, end) for start, ends in TRANSITIONS.items() for end in ends}
    # A wish to cancel that the worker learns of is in "stop"; nothing else is left over.
    assert shown == allowed


def test_every_state_has_its_row_in_the_table_of_changes() -> None:
    assert set(TRANSITIONS) == set(State)


PLACES = {
    "take_ready": "dispatch.take_ready",
    "claim_next": "claim.claim_next",
    "follow_hint": "claim.claim_queued",
    "return_unconfirmed": "dispatch.return_unconfirmed",
    "return_lost": "dispatch.return_lost",
    "succeed": "finish.succeed",
    "fail_permanently": "finish.fail",
    "fail_transiently": "finish.fail",
    "fail_unexpectedly": "finish.fail",
    "fail_after_cancel": "finish.fail",
    "release_after_cancel": "finish.release",
    "vanish_after_cancel": "leases.reap",
    "stop": "finish.cancel_running",
    "release": "finish.release",
    "vanish": "leases.reap",
    "vanish_too_often": "leases.reap",
    "cancel": "operator.cancel",
    "rescue": "operator.rescue",
    "parent_is_rescued": "blocking.reconcile",
    "parent_breaks": "blocking.reconcile",
}
"""The function under test, by event."""


def test_the_registry_holds_what_the_functions_do_and_nothing_else() -> None:
    seen = {
        (start, end, PLACES[event])
        for event, start, end in _cells()
        # What cancels at once is the cancelling itself, whatever comes after it.
        if event in PLACES and end is not start
        and not (event.endswith("_after_cancel") and start is not State.RUNNING)
    }  # fmt: skip
    seen |= {
        (State.WAITING, State.READY, "finish.succeed"),  # parent_succeeds
        (State.BLOCKED, State.READY, "blocking.reconcile"),  # parent_succeeds
        # The two tests on rescued processes above.
        (State.CANCELLED, State.READY, "operator.rescue"),
        (State.CANCELLED, State.BLOCKED, "operator.rescue"),
    }
    assert seen == {(t.start, t.end, t.place) for t in REGISTRY}
