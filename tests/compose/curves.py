"""Light curves of two databases, row against row."""

import math

from tianyu.schema.database import Database

COLUMNS = (
    "x, y, utc_mid, jd_utc_mid, bjd_tdb_mid, airmass, radius_pix, is_default_radius, flux, "
    "flux_error, relative_flux, relative_flux_error, flags, is_reference, frame_is_good, "
    "source_name"
)


def compare(first_url: str, second_url: str) -> tuple[int, int]:
    """Return how many rows the first view has, and how many differ from the second's."""
    first, second = _rows(first_url), _rows(second_url)
    different = len(first.keys() ^ second.keys())
    different += sum(not _is_same(row, second[key]) for key, row in first.items() if key in second)
    return len(first), different


def _rows(url: str) -> dict[tuple[object, ...], tuple[object, ...]]:
    database = Database(url)
    # Ids may differ between databases, places on the template and times do not.
    query = f"SELECT source_id, image_id, radius_pix, {COLUMNS} FROM light_curve"  # noqa: S608
    try:
        with database.read() as connection:
            rows = connection.exec_driver_sql(query).fetchall()
    finally:
        database.dispose()
    return {tuple(row[:3]): tuple(map(_plain, row[3:])) for row in rows}


def _plain(value: object) -> object:
    # SQLite has no BOOL and no DATETIME of its own.
    return value if isinstance(value, int | float | None) else str(value)


def _is_same(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    return all(
        a == b
        or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))
        for a, b in zip(one, other, strict=True)
    )
