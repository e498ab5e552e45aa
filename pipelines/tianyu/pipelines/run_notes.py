"""What a run has to tell people: assumptions, and what was skipped or left out, in words."""

from collections.abc import Sequence
from typing import TypeAlias

from sqlalchemy import Connection, select, update

from tianyu.pipelines.products import Products
from tianyu.schema.tables import Reduction

Notes: TypeAlias = dict[str, str | list[str]]
"""What is told, by what it is about."""

MISSING_TARGETS = "missing_targets"
"""Key of the notes on targets that a person asked for and that have no light curve."""

LEFT_OUT = "left_out"
"""Key of the notes on calibration frames that are not in a master."""


def note_left_out(products: Products, run_id: int, reasons: Sequence[str]) -> None:
    """Note with the products of a master which calibration frames are not in it, and why."""
    if reasons:
        products.then(lambda connection: add_notes(connection, run_id, {LEFT_OUT: list(reasons)}))


def tell(products: Products, run_id: int, **notes: str) -> None:
    """Note something with the products of a step; see :func:`add_notes`."""
    products.then(lambda connection: add_notes(connection, run_id, dict(notes)))


def add_notes(connection: Connection, run_id: int, notes: Notes) -> None:
    """Add to the notes of a run; a key that is there already is replaced.

    Parameters
    ----------
    connection : Connection
        In the transaction that commits the products.
    run_id : int
    notes : mapping
        What is told, by what it is about.
    """
    if not notes:
        return
    # Locked: two steps of one run may end at the same time.
    query = select(Reduction.notes).where(Reduction.run_id == run_id).with_for_update()
    known = connection.scalars(query).one()
    connection.execute(
        update(Reduction).where(Reduction.run_id == run_id).values(notes={**known, **notes})
    )
