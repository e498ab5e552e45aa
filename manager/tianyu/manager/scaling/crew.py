"""What can start consumers and ask them to finish."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Member:
    """One consumer.

    Attributes
    ----------
    name : str
        As people find it: of a container, or the number of a process.
    is_draining : bool
        It finishes what it runs, and takes nothing more.
    """

    name: str
    is_draining: bool = False


class Crew(Protocol):
    """The consumers of one group on one machine, oldest first."""

    def members(self) -> list[Member]:
        """Return those that live; what has ended is cleared away."""
        ...

    def start(self, number: int) -> list[str]:
        """Start more of them; return their names."""
        ...

    def drain(self, names: list[str]) -> None:
        """Ask consumers to finish what they run and leave; never kills one."""
        ...

    def close(self) -> None:
        """End the supervision."""
        ...
