"""What a consumer and its child processes tell each other through their pipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tianyu.schema.transitions.finish import Failure, Usage


@dataclass(frozen=True)
class Assignment:
    """One claimed process to be run."""

    process_id: int
    run_id: int
    command: str
    parameters: Mapping[str, Any]
    attempt: int
    token: str
    site_id: int
    root: Path


@dataclass(frozen=True)
class Ready:
    """A child has started and can take assignments."""


@dataclass(frozen=True)
class Succeeded:
    """The products are committed."""

    usage: Usage


@dataclass(frozen=True)
class Failed:
    """The step raised; nothing is committed."""

    failure: Failure
    usage: Usage
    is_disk_full: bool = False


@dataclass(frozen=True)
class ClaimLost:
    """Somebody else owns the process by now; everything was rolled back."""

    usage: Usage


Report = Succeeded | Failed | ClaimLost
