"""Rows that a run takes over from another one instead of measuring them again.

Every run is whole: its rows are found by its own number, whoever measured them first. So what is
taken over is copied inside the database, which moves no file.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from sqlalchemy import Connection, Table, func, insert, literal, select

from tianyu.pipelines.errors import MissingInputError
from tianyu.schema.base import Base
from tianyu.schema.tables import Aperture, ApertureEllipse, Flux, Frame, ReferenceFrame, SkyMesh

ADOPTABLE: Mapping[str, type[Base]] = {
    "reference_frame": ReferenceFrame,
    "frame": Frame,
    "sky_mesh": SkyMesh,
    "aperture": Aperture,
    "aperture_ellipse": ApertureEllipse,
    "flux": Flux,
}
"""Kinds of data that are rows of one run each, and their tables."""

ONLY_WHERE_ASKED = frozenset({"aperture_ellipse"})
"""Kinds that a run may rightly have no rows of."""


def copy_rows(
    connection: Connection, kinds: Sequence[str], *, from_run: int, to_run: int
) -> dict[str, int]:
    """Copy the rows of a run to another one; return how many, by kind.

    Raises
    ------
    MissingInputError
        If a kind that every run has is without rows: the run has been purged, or never got so
        far.
    """
    counts = {}
    for kind in kinds:
        table = cast("Table", ADOPTABLE[kind].__table__)
        others = [column for column in table.c if column.name != "run_id"]
        rows = select(literal(to_run), *others).where(table.c.run_id == from_run)
        connection.execute(insert(table).from_select([table.c.run_id, *others], rows))
        here = select(func.count()).select_from(table).where(table.c.run_id == to_run)
        counts[kind] = connection.scalar(here) or 0
        if not counts[kind] and kind not in ONLY_WHERE_ASKED:
            raise MissingInputError(
                f"run {from_run} has left no {kind.replace('_', ' ')} to take over; publish again "
                "without what it measured (--fresh)"
            )
    return counts
