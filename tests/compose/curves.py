"""Light curves of two databases, row against row."""

import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from tianyu.schema.database import Database

COLUMNS = (
    "x, y, utc_mid, jd_utc_mid, bjd_tdb_mid, airmass, radius_pix, is_default_radius, flux, "
    "flux_error, relative_flux, relative_flux_error, flags, is_reference, frame_is_good, "
    "source_name"
)


def compare(first_url: str, second_url: str) -> tuple[int, Counter[str]]:
    """Return how many rows the first view has, and how often which column differs."""
    first, second = _rows(first_url), _rows(second_url)
    names = COLUMNS.split(", ")
    differing = Counter({"only one has it": len(first.keys() ^ second.keys())})
    for key in first.keys() & second.keys():
        pairs = zip(names, first[key], second[key], strict=True)
        differing.update(name for name, one, other in pairs if not _is_same(one, other))
    return len(first), +differing


def _rows(url: str) -> dict[tuple[object, ...], tuple[object, ...]]:
    database = Database(url)
    query = f"SELECT source_id, image_id, radius_pix, {COLUMNS} FROM light_curve"  # noqa: S608
    try:
        with database.read() as connection:
            rows = connection.exec_driver_sql(query).fetchall()
    finally:
        database.dispose()
    # MySQL leaves gaps between ids, of attempts that were rolled back; their order is the same.
    sources, images = _ranks(row[0] for row in rows), _ranks(row[1] for row in rows)
    return {(sources[row[0]], images[row[1]], row[2]): tuple(map(_plain, row[3:])) for row in rows}


def _ranks(ids: Iterable[int]) -> dict[int, int]:
    """Number ids from 0 in their order."""
    return {value: rank for rank, value in enumerate(sorted(set(ids)))}


def _plain(value: object) -> object:
    # SQLite has no BOOL and no DATETIME of its own: there times are text, to the microsecond.
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S.%f}"
    return value if isinstance(value, int | float | None) else str(value)


def _is_same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return one == other
