"""The state machine is worth what it catches: known mistakes, planted one at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import and_, bindparam, case, select, update
from tests.integration.engine.machine import EngineMachine

from tianyu.schema.database import Database
from tianyu.schema.dialects import now_us
from tianyu.schema.engine_tables import Process
from tianyu.schema.states import BAD, State
from tianyu.schema.transitions import blocking, claim, dispatch, finish, leases, operator, publish

MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {}

_pid = Process.id == bindparam("pid")
_ids = Process.id.in_(bindparam("ids", expanding=True))
_bad = sorted(state.value for state in BAD)


def mutant(plant: Callable[[pytest.MonkeyPatch], None]) -> Callable[[pytest.MonkeyPatch], None]:
    """Register one mistake under the name of its function."""
    MUTANTS[plant.__name__] = plant
    return plant


# -- success -----------------------------------------------------------------------------------


@mutant
def success_without_a_fence(patch: pytest.MonkeyPatch) -> None:
    running = and_(_pid, Process.state == State.RUNNING.value)
    values = {"state": State.SUCCEEDED.value, "finished_us": now_us(), "lease_until": None}
    patch.setattr(finish, "_SUCCEED", update(Process).where(running).values(**values))


def _release_children(condition: Any, step: int) -> Any:
    return (
        update(Process)
        .where(_ids)
        .ordered_values(
            (Process.state, case((condition, State.READY.value), else_=Process.state)),
            (Process.pending, Process.pending - step),
        )
    )


_waits_for_one = and_(Process.state == State.WAITING.value, Process.pending == 1)


@mutant
def children_counted_down_twice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(finish, "_RELEASE_CHILDREN", _release_children(_waits_for_one, 2))


@mutant
def children_let_go_before_the_last_parent(patch: pytest.MonkeyPatch) -> None:
    waits = Process.state == State.WAITING.value
    patch.setattr(finish, "_RELEASE_CHILDREN", _release_children(waits, 1))


@mutant
def blocked_children_let_go_by_a_success(patch: pytest.MonkeyPatch) -> None:
    idle = Process.state.in_([State.WAITING.value, State.BLOCKED.value])
    released = _release_children(and_(idle, Process.pending == 1), 1)
    patch.setattr(finish, "_RELEASE_CHILDREN", released)


@mutant
def children_compared_after_counting_down(patch: pytest.MonkeyPatch) -> None:
    # What MySQL does with the assignments in the other order.
    patch.setattr(
        finish,
        "_RELEASE_CHILDREN",
        _release_children(and_(Process.state == State.WAITING.value, Process.pending - 1 == 1), 1),
    )


# -- failure -----------------------------------------------------------------------------------


@mutant
def wish_to_cancel_forgotten_by_a_retry(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(finish, "_onward", lambda _standing: State.READY)


@mutant
def permanent_failure_tried_again(patch: pytest.MonkeyPatch) -> None:
    real = finish.Failure

    def fail(
        connection: Any, pid: int, token: str, failure: Any, usage: Any, *, budget: int
    ) -> Any:
        return real_fail(
            connection, pid, token, real(finish.ErrorKind.UNEXPECTED, "no"), usage, budget=budget
        )

    real_fail = finish.fail
    patch.setattr(finish, "fail", fail)


# -- claims and leases -------------------------------------------------------------------------


@mutant
def claim_whatever_the_state(patch: pytest.MonkeyPatch) -> None:
    queues = Process.queue_id.in_(bindparam("queues", expanding=True))
    values = {
        "state": State.RUNNING.value,
        "attempt": Process.attempt + 1,
        "claim_token": bindparam("token"),
        "lease_until": now_us() + bindparam("lease_us"),
        "cancel_requested": False,
    }
    patch.setattr(claim, "_CLAIM_HERE", update(Process).where(_pid, queues).values(**values))


@mutant
def claim_from_a_foreign_queue(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(claim, "_CLAIM_HERE", claim._CLAIM)


@mutant
def heartbeat_without_a_token(patch: pytest.MonkeyPatch) -> None:
    running = and_(_pid, Process.state == State.RUNNING.value)
    held = select(Process.id, Process.cancel_requested.label("is_unwanted")).where(running)
    patch.setattr(claim, "_HELD", held)


@mutant
def reaper_takes_living_claims(patch: pytest.MonkeyPatch) -> None:
    everyone = select(*leases._EXPIRED.selected_columns).where(Process.state == State.RUNNING.value)
    patch.setattr(leases, "_EXPIRED", everyone.limit(bindparam("limit")))
    taken = update(Process).where(_pid, Process.claim_token == bindparam("token"))
    patch.setattr(
        leases,
        "_TAKE_BACK",
        taken.values(
            state=bindparam("to_state"),
            lease_losses=Process.lease_losses + 1,
            lease_until=None,
            claim_token=None,
        ),
    )


@mutant
def reaper_repeats_what_must_not_be(patch: pytest.MonkeyPatch) -> None:
    real = leases._verdict
    patch.setattr(leases, "_verdict", lambda _repeatable, *rest: real(True, *rest))


# -- dispatch ----------------------------------------------------------------------------------


@mutant
def confirm_without_the_number(patch: pytest.MonkeyPatch) -> None:
    queued = and_(_ids, Process.state == State.QUEUED.value)
    patch.setattr(dispatch, "_CONFIRM", update(Process).where(queued).values(confirmed_at=now_us()))


@mutant
def confirmed_ones_swept_as_well(patch: pytest.MonkeyPatch) -> None:
    queued = select(Process.id).where(Process.state == State.QUEUED.value)
    patch.setattr(dispatch, "_UNCONFIRMED", queued)


@mutant
def dispatch_before_the_pause_is_over(patch: pytest.MonkeyPatch) -> None:
    ready = and_(Process.state == State.READY.value, Process.queue_id == bindparam("queue_id"))
    patch.setattr(
        dispatch,
        "_READY",
        select(Process.id, Process.dispatch_no)
        .where(ready)
        .order_by(Process.priority, Process.id)
        .limit(bindparam("limit")),
    )


# -- publishing --------------------------------------------------------------------------------


@mutant
def older_parents_not_counted(patch: pytest.MonkeyPatch) -> None:
    def adopt(connection: Any, processes: Any, standing: Any) -> None:
        done = {pid: publish._Standing(True, s.is_counted) for pid, s in standing.items()}
        real(connection, processes, done)

    real = publish._adopt
    patch.setattr(publish, "_adopt", adopt)


@mutant
def bad_parents_counted_before_the_rule_does(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        publish,
        "_LOCK_PARENTS",
        select(
            Process.id, Process.state, Process.state.in_(_bad).label("bad_counted")
        ).where(_ids),
    )  # fmt: skip


# -- blocking and rescue -----------------------------------------------------------------------


@mutant
def blocking_never_frees(patch: pytest.MonkeyPatch) -> None:
    newly_bad = and_(Process.bad_counted == False, Process.state.in_(_bad))  # noqa: E712 - SQL
    patch.setattr(
        blocking,
        "_DIFFERING",
        select(Process.id, Process.bad_counted).where(newly_bad).limit(bindparam("limit")),
    )


@mutant
def rescue_overtaken_by_blocking(patch: pytest.MonkeyPatch) -> None:
    # A rescue that clears the mark itself, before the children have been told.
    patch.setattr(operator, "_RESCUE", operator._RESCUE.values(bad_counted=False))


@mutant
def rescue_always_to_ready(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(operator, "_RESCUE", operator._RESCUE.values(state=State.READY.value))


@mutant
def rescue_begins_a_new_count_of_attempts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(operator, "_RESCUE", operator._RESCUE.values(attempt=0))


@mutant
def freed_children_wait_though_nothing_is_pending(patch: pytest.MonkeyPatch) -> None:
    after = Process.bad_parents + bindparam("step")
    waiting = and_(Process.state == State.WAITING.value, after > 0)
    freed = and_(Process.state == State.BLOCKED.value, after <= 0)
    state = case((waiting, State.BLOCKED.value), (freed, State.WAITING.value), else_=Process.state)
    patch.setattr(
        blocking,
        "_CROSS",
        update(Process)
        .where(_ids)
        .ordered_values((Process.state, state), (Process.bad_parents, after)),
    )


# ----------------------------------------------------------------------------------------------


PRINCIPAL = [
    "blocking_never_frees",
    "children_counted_down_twice",
    "confirm_without_the_number",
    "rescue_overtaken_by_blocking",
    "success_without_a_fence",
]
"""Planted in every run; all of them take half a minute and are planted in a storm."""

IS_STORM = settings.get_current_profile_name() == "storm"


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Make one mistake for a while."""
    with pytest.MonkeyPatch.context() as patch:
        MUTANTS[name](patch)
        yield


@pytest.mark.parametrize("name", sorted(MUTANTS) if IS_STORM else PRINCIPAL)
def test_a_planted_mistake_is_found(database: Database, name: str) -> None:
    class Machine(EngineMachine):
        pass

    Machine.database = database
    # Without shrinking: that it is found is enough.
    search = settings(
        max_examples=400,
        stateful_step_count=40,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        print_blob=False,
    )
    with planted(name), pytest.raises(AssertionError):
        run_state_machine_as_test(Machine, settings=search)
