"""Lists of ids in pieces that every driver takes."""

from collections.abc import Collection, Iterator
from typing import TypeVar

ID_BATCH = 500
"""Ids in one IN list: within every driver's limit, and MySQL still uses the primary key."""


Id = TypeVar("Id", int, str)


def in_batches(ids: Collection[Id]) -> Iterator[list[Id]]:
    """Yield the ids in ascending order, at most :data:`ID_BATCH` at a time.

    Ascending, so that transactions that lock common rows lock them in one order; unsorted
    ones deadlock.

    Examples
    --------
    >>> list(in_batches({3, 1, 2}))
    [[1, 2, 3]]
    """
    ordered = sorted(ids)
    for start in range(0, len(ordered), ID_BATCH):
        yield ordered[start : start + ID_BATCH]
