"""Places that a person wants measured, whatever stands there: a table of them, and its notes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from tianyu.pipelines.fits.angles import parse_angle
from tianyu.pipelines.targets import POSITION_KIND
from tianyu.publisher.observations import find_frame
from tianyu.publisher.survey import check_coordinates, ensure_target
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.tables import ObservationTarget, Target

DEGREES_PER_HOUR = 15.0

NAMES: Mapping[str, tuple[str, ...]] = {
    "name": ("name", "id"),
    "ra": ("ra", "ra_deg", "raj2000"),
    "dec": ("dec", "dec_deg", "dej2000", "decj2000"),
    "x": ("x",),
    "y": ("y",),
    "frame": ("frame",),
}
"""Columns by what they may be called; the case does not matter."""


@dataclass(frozen=True)
class Position:
    """One place: by coordinates (ICRS degrees), by the 0-based pixel of a frame, or by both."""

    name: str
    ra_deg: float | None = None
    dec_deg: float | None = None
    x: float | None = None
    y: float | None = None
    frame: str | None = None


def read_positions(path: Path) -> tuple[Position, ...]:
    """Read a table of positions: any that astropy reads (CSV, ECSV, FITS, VOTable, plain text).

    Columns ``name``, and ``ra`` and ``dec`` (degrees, the column's own unit, or sexagesimal with
    hours), or ``x``, ``y`` and ``frame`` (0-based pixels of the file named); a row may have
    both.

    Raises
    ------
    ConfigurationError
        If the table cannot be read, lacks a column, names a place twice, or a row has no place;
        the text names the row.
    """
    columns = _columns(path)
    n = len(columns["name"])
    if n == 0:
        raise ConfigurationError(f"the table {path} has no row; give at least one position")
    rows = [{name: values[i] for name, values in columns.items()} for i in range(n)]
    positions = tuple(_position(path, number, row) for number, row in enumerate(rows, start=1))
    names = [position.name for position in positions]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigurationError(f"the table {path} has {twice[0]!r} twice; give unique names")
    return positions


def note_positions(
    connection: Connection, observation_ids: Sequence[int], positions: Sequence[Position]
) -> tuple[str, ...]:
    """Let the next run of each observation measure these positions, and no others given before.

    Parameters
    ----------
    connection : Connection
        In a transaction that writes.
    observation_ids : sequence of int
        Of light frames.
    positions : sequence of Position

    Returns
    -------
    tuple of str
        A line for each position whose frame is in none of the observations; the others go on.

    Raises
    ------
    ConfigurationError
        If a name belongs to a target that is no such position.
    """
    lines = []
    ids = [_target_id(connection, position) for position in positions]
    for observation_id in observation_ids:
        _forget(connection, observation_id)
    for position, target_id in zip(positions, ids, strict=True):
        places = [_expected(connection, o, target_id, position) for o in observation_ids]
        known = [place for place in places if place is not None]
        for place in known:
            connection.execute(insert(ObservationTarget).values(**place))
        if not known:
            lines.append(
                f"position {position.name!r} is left out: its frame {position.frame!r} is not "
                "among the light frames; give the name of one of them, with or without its ending"
            )
    return tuple(lines)


def _target_id(connection: Connection, position: Position) -> int:
    kind = connection.scalar(select(Target.kind).where(Target.name == position.name))
    if kind not in {None, POSITION_KIND}:
        raise ConfigurationError(
            f"{position.name!r} is a registered {kind}, which is found by detection; give the "
            "position another name"
        )
    return ensure_target(
        connection,
        position.name,
        kind=POSITION_KIND,
        ra_deg=position.ra_deg,
        dec_deg=position.dec_deg,
    )


def _forget(connection: Connection, observation_id: int) -> None:
    known = select(Target.id).where(Target.kind == POSITION_KIND)
    connection.execute(
        delete(ObservationTarget).where(
            ObservationTarget.observation_id == observation_id,
            ObservationTarget.target_id.in_(known),
        )
    )


def _expected(
    connection: Connection, observation_id: int, target_id: int, position: Position
) -> dict[str, Any] | None:
    """Return the row that expects a position in an observation; None where nothing is known."""
    image_id = None
    if position.frame is not None:
        image_id = find_frame(connection, observation_id, position.frame)
    if image_id is None and position.ra_deg is None:
        return None
    in_frame = image_id is not None
    return {
        "observation_id": observation_id,
        "target_id": target_id,
        "image_id": image_id,
        "x": position.x if in_frame else None,
        "y": position.y if in_frame else None,
    }


def _columns(path: Path) -> dict[str, list[Any]]:
    from astropy.table import Table  # noqa: PLC0415 - slow to import, and rarely needed

    try:
        try:
            table = Table.read(path)
        except Exception as unknown:
            if isinstance(unknown, OSError):
                raise
            # No ending that names a format: plain text with a header, then.
            table = Table.read(path, format="ascii")
    except Exception as error:
        raise ConfigurationError(
            f"the table of positions {path} cannot be read: {error}; give CSV, ECSV, FITS, "
            "VOTable or plain text with a line of column names"
        ) from error
    by_name = {str(name).lower(): name for name in table.colnames}
    found = {
        ours: next((by_name[theirs] for theirs in names if theirs in by_name), None)
        for ours, names in NAMES.items()
    }
    sets = (("name",), ("ra", "dec"), ("x", "y", "frame"))
    complete = [all(found[name] for name in names) for names in sets]
    if not complete[0] or not any(complete[1:]):
        raise ConfigurationError(
            f"the table {path} has the columns {', '.join(table.colnames)}; it needs name, and "
            "ra and dec, or x, y and frame"
        )
    return {ours: _values(table, theirs, ours) for ours, theirs in found.items() if theirs}


def _values(table: Any, theirs: str, ours: str) -> list[Any]:
    """Return the values of a column, angles with a unit in degrees, None for what is masked."""
    column = table[theirs]
    if ours in {"ra", "dec"} and getattr(column, "unit", None) is not None:
        column = column.quantity.to("deg") if hasattr(column, "quantity") else column.to("deg")
        column = column.value
    mask = getattr(column, "mask", None)
    plain = [value.item() if hasattr(value, "item") else value for value in column]
    if mask is None:
        return plain
    return [None if hidden else value for value, hidden in zip(plain, mask, strict=True)]


def _position(path: Path, number: int, row: Mapping[str, Any]) -> Position:
    where = f"row {number} of {path}"
    name = _text(row.get("name"))
    if not name:
        raise ConfigurationError(f"{where} has no name; give every position one")
    where = f"{where} ({name})"
    frame = _text(row.get("frame"))
    position = Position(
        name=name,
        ra_deg=_angle(row.get("ra"), f"{where}: ra", DEGREES_PER_HOUR),
        dec_deg=_angle(row.get("dec"), f"{where}: dec", 1.0),
        x=_number(row.get("x"), f"{where}: x") if frame else None,
        y=_number(row.get("y"), f"{where}: y") if frame else None,
        frame=frame,
    )
    check_coordinates(name, position.ra_deg, position.dec_deg)
    pixel = [position.frame, position.x, position.y]
    if position.ra_deg is None and None in pixel:
        raise ConfigurationError(f"{where} has no place; give ra and dec, or x, y and frame")
    if position.frame is not None and None in pixel:
        raise ConfigurationError(f"{where} names a frame, but x or y is missing")
    return position


def _text(value: Any) -> str | None:
    text = value.decode() if isinstance(value, bytes) else value
    return str(text).strip() or None if text is not None else None


def _number(value: Any, where: str) -> float | None:
    if value is None or _text(value) is None:
        return None
    try:
        number = float(value)
    except ValueError as error:
        raise ConfigurationError(f"{where} is {value!r}, which is no number") from error
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise ConfigurationError(f"{where} is {number}, which is no place")
    return number


def _angle(value: Any, where: str, per_unit: float) -> float | None:
    if isinstance(value, str | bytes) and (text := _text(value)) is not None:
        angle = parse_angle(text)
        if angle is None:
            raise ConfigurationError(f"{where} is {text!r}, which is no angle")
        return angle.value * (per_unit if angle.is_sexagesimal else 1.0)
    return _number(value, where)
