"""What a step may know and touch while it runs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tianyu.schema.database import Database
from tianyu.schema.paths import product_path, resolve


@dataclass
class FileTraffic:
    """Bytes that an attempt moved from and to files."""

    read: int = 0
    written: int = 0


@dataclass(frozen=True)
class ProductFile:
    """Where one product goes: relative for the database, absolute for writing."""

    relative: str
    absolute: Path


def _ignore(_done: int, _total: int) -> None:
    """Take progress that nobody wants to see."""


@dataclass(frozen=True)
class StepContext:
    """The surroundings of one attempt.

    The database is there to be read; what a step wants written it returns as products, and
    they are committed together with its success or not at all.
    """

    database: Database
    process_id: int
    run_id: int
    command: str
    attempt: int
    site_id: int
    root: Path
    traffic: FileTraffic = field(default_factory=FileTraffic)
    progress: Callable[[int, int], None] = _ignore

    def product_file(self, name: str) -> ProductFile:
        """Return where the product of this name goes; its folder exists afterwards."""
        relative = product_path(self.run_id, self.command, self.process_id, self.attempt, name)
        absolute = resolve(self.root, relative)
        absolute.parent.mkdir(parents=True, exist_ok=True)
        return ProductFile(relative, absolute)

    def file_of(self, relative: str) -> Path:
        """Return the absolute path of a stored file."""
        return resolve(self.root, relative)
