"""What a consumer and its child processes tell each other through their pipe.

Towards the child goes a claim, or the advice to prepare for one; back comes a report of how it
ended. The answer to a success may name the next claim already, see :mod:`tianyu.consumer.claiming`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from tianyu.schema.states import State
from tianyu.schema.transitions.claim import Claim
from tianyu.schema.transitions.finish import Failure, Usage


@dataclass(frozen=True)
class Workplace:
    """What is the same for all work of one consumer; told to a child once, at its start.

    Attributes
    ----------
    claimable : sequence of State
        Where a child that succeeded may claim its next process from by itself.
    has_gpu : bool
        Whether frames are worked on there.
    """

    database_url: str = field(repr=False)
    site_id: int
    root: Path
    worker_id: str
    queue_ids: Sequence[int]
    lease_s: float
    claimable: Sequence[State]
    has_gpu: bool = False


class Excuse(Enum):
    """Reasons to give a process back that are no fault of its step and use no budget."""

    DISK_FULL = auto()
    DATABASE_AWAY = auto()
    PEER_AWAY = auto()


@dataclass(frozen=True)
class Prepare:
    """To an idle child: frames will have to be measured soon."""


@dataclass(frozen=True)
class Ready:
    """A child has started and can take claims."""


@dataclass(frozen=True)
class Succeeded:
    """The products are committed, and so is the claim on the next process, if any.

    Attributes
    ----------
    leaves_work : bool
        Whether processes may have become ready that somebody else is to be told of.
    """

    usage: Usage
    next: Claim | None = None
    leaves_work: bool = True


@dataclass(frozen=True)
class Failed:
    """The step raised; nothing is committed."""

    failure: Failure
    usage: Usage
    excuse: Excuse | None = None


@dataclass(frozen=True)
class ClaimLost:
    """Somebody else owns the process by now; everything was rolled back."""

    usage: Usage


Report = Succeeded | Failed | ClaimLost
