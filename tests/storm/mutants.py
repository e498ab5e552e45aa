"""Mistakes planted into programs that run, to show that the checker sees what they do."""

from sqlalchemy import bindparam, exists, insert, update

from tianyu.consumer.leases import LeaseKeeper
from tianyu.schema.dialects import now_us
from tianyu.schema.engine_tables import Attempt, Process
from tianyu.schema.states import State
from tianyu.schema.transitions import finish


def plant(name: str) -> None:
    """Make one mistake, for good."""
    {"success_without_a_fence": success_without_a_fence}[name]()


def success_without_a_fence() -> None:
    """Let whoever has computed a process commit it, whoever owns it by now.

    The unique key of the attempt log would refuse the second success of one process; it is a
    fence as well, and so it goes, too. A consumer stops a child as soon as it hears that the
    claim is lost, which would hide the missing fence nearly always: it does not listen either.
    """
    LeaseKeeper.take_stops = lambda _self: {}
    values = {"state": State.SUCCEEDED.value, "finished_us": now_us(), "lease_until": None}
    finish._SUCCEED = update(Process).where(Process.id == bindparam("pid")).values(**values)
    log = finish._LOG_SUCCESS
    is_logged = exists().where(Attempt.process_id == Process.id, Attempt.number == Process.attempt)
    finish._LOG_SUCCESS = insert(finish._ATTEMPT).from_select(
        log._select_names, log.select.where(~is_logged)
    )
