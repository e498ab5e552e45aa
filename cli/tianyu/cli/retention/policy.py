"""Which runs are old enough that nobody needs what they left in between."""

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from tianyu.cli.words import US_PER_S
from tianyu.schema.dialects import now_us
from tianyu.schema.states import TERMINAL, State
from tianyu.schema.tables import Observation, Process, Reduction

_ENDED = sorted(state.value for state in TERMINAL | {State.BLOCKED})

_LAST_END = (
    select(
        Reduction.run_id,
        Reduction.observation_id,
        func.max(func.coalesce(Process.finished_us, Process.created_us)).label("end"),
    )
    .join(Process, Process.run_id == Reduction.run_id)
    .group_by(Reduction.run_id, Reduction.observation_id)
    .order_by(Reduction.run_id.desc())
)

_UNFINISHED = select(Process.run_id).where(Process.state.not_in(_ENDED)).distinct()

_CURRENT = select(Observation.current_run_id).where(Observation.current_run_id.is_not(None))


@dataclass(frozen=True)
class Policy:
    """What may go.

    Attributes
    ----------
    older_than_s : float
        Since the last of a run's processes ended, seconds.
    keep_last : int
        Newest runs of each observation that are left whole, whatever their age.
    """

    older_than_s: float
    keep_last: int


def choose_runs(connection: Connection, policy: Policy) -> list[int]:
    """Return the runs that the policy gives up, oldest first.

    Never the current run of an observation, nor one that has not ended, nor one of masters,
    which other runs share.
    """
    now = int(connection.scalar(select(now_us())) or 0)
    kept = set(connection.scalars(_CURRENT)) | set(connection.scalars(_UNFINISHED))
    seen: Counter[int] = Counter()
    chosen = []
    for row in connection.execute(_LAST_END):
        seen[row.observation_id] += 1
        is_old = now - row.end >= policy.older_than_s * US_PER_S
        if seen[row.observation_id] > policy.keep_last and is_old and row.run_id not in kept:
            chosen.append(int(row.run_id))
    return sorted(chosen)
