"""Mistakes planted into programs that run, to show that the checker sees what they do."""

from sqlalchemy import bindparam, update

from tianyu.schema.dialects import now_us
from tianyu.schema.engine_tables import Process
from tianyu.schema.states import State
from tianyu.schema.transitions import finish


def plant(name: str) -> None:
    """Make one mistake, for good."""
    {"success_without_a_fence": success_without_a_fence}[name]()


def success_without_a_fence() -> None:
    """Let whoever has computed a process commit it, whoever owns it by now."""
    values = {"state": State.SUCCEEDED.value, "finished_us": now_us(), "lease_until": None}
    finish._SUCCEED = update(Process).where(Process.id == bindparam("pid")).values(**values)
