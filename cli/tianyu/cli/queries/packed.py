"""Packed light curves as rows of the view ``light_curve_all``, for one query."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from alembic.script import ScriptDirectory
from numpy.typing import NDArray
from sqlalchemy import Connection, Subquery, bindparam, column, select, text
from sqlalchemy.sql.elements import quoted_name

from tianyu.cli.curves.columns import COLUMNS
from tianyu.cli.retention.packing import split
from tianyu.schema.jsonrows import rows_of_json
from tianyu.schema.migrate import MIGRATIONS
from tianyu.schema.tables import PackedFlux

VIEW_REVISION = "0002"
"""The newest migration that defines the view."""

_FLUX = ("run_id", "source_id", "image_id", "aperture", "radius_pix", "flux", "flux_error", "flags")
_RELATIVE = (
    "run_id", "source_id", "image_id", "aperture", "relative_flux", "relative_flux_error", "flags",
)  # fmt: skip
_INTEGERS = frozenset({"run_id", "source_id", "image_id", "aperture", "flags"})


def view_definition() -> str:
    """Return the statement that makes the view ``light_curve_all``."""
    revision = ScriptDirectory(str(MIGRATIONS)).get_revision(VIEW_REVISION)
    return str(revision.module.LIGHT_CURVE_ALL).strip()


def packed_view(
    connection: Connection, runs: Sequence[int], source_ids: Sequence[int]
) -> Subquery | None:
    """Return the packed points of sources in runs, with the columns of the view.

    The definition of the view is used as it stands, with the rows of its two large tables
    handed in: what a person sees of a run does not depend on whether it is packed.

    Returns
    -------
    Subquery or None
        None where nothing of them is packed.
    """
    found = connection.execute(
        select(PackedFlux.run_id, PackedFlux.source_id, PackedFlux.packed).where(
            PackedFlux.run_id.in_(runs), PackedFlux.source_id.in_(source_ids)
        )
    ).all()
    if not found:
        return None
    fluxes, relative = list[tuple[Any, ...]](), list[tuple[Any, ...]]()
    for run, source, packed in found:
        of_flux, of_relative = split(packed)
        fluxes += _rows(_FLUX, run, source, of_flux)
        relative += _rows(_RELATIVE, run, source, of_relative)
    query = view_definition().partition(" AS\n")[2]
    for table, parameter, names in (
        ("CROSS JOIN flux AS", "packed_fluxes", _FLUX),
        ("LEFT JOIN relative_flux AS", "packed_relative_fluxes", _RELATIVE),
    ):
        rows = rows_of_json(connection, parameter, [(n, n in _INTEGERS) for n in names])
        join = table.rsplit(" ", 2)[0]
        query = query.replace(table, f"{join} {rows} AS")
    statement = text(query).bindparams(
        bindparam("packed_fluxes", json.dumps(fluxes)),
        bindparam("packed_relative_fluxes", json.dumps(relative)),
    )
    named = [column(quoted_name(c.name, True), c.kind.sql_type) for c in COLUMNS]
    return statement.columns(*named).subquery("packed_light_curve")


def _rows(
    names: Sequence[str], run: int, source: int, columns: dict[str, NDArray[Any]]
) -> list[tuple[Any, ...]]:
    n = len(columns["image_id"])
    key = {"run_id": np.full(n, run), "source_id": np.full(n, source)}
    lists = [_plain((key | columns)[name]) for name in names]
    return list(zip(*lists, strict=True))


def _plain(values: NDArray[Any]) -> list[Any]:
    if values.dtype.kind != "f":
        return list(values.tolist())
    # JSON has no NaN; where the database had NULL it gets NULL again.
    return [value if np.isfinite(value) else None for value in values.tolist()]
