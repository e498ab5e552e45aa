r"""Rows as the text of a file for ``LOAD DATA``: tabs, line feeds, ``\N`` for NULL.

Rows of numbers, which are nearly all that a night has, are written column by column into one
array of bytes. Its zero bytes are places that a value does not need, and are dropped in the end.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Table

SINGLE_BITS = 24
"""Precision of a FLOAT."""

NULL = r"\N"

_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r", "\0": r"\0"})

_GROUP_DIGITS = 4
"""Digits that are written at a time."""
_MOST_DIGITS = 18
"""What every int64 has; longer ones are written by Python."""
_SINGLE_DIGITS = 10
"""Nine tell all numbers of single precision apart; with the tenth the largest one is not rounded
up to what is too large."""
_SMALLEST_POWER, _LARGEST_POWER = -46, 39
"""Of ten, between which lie all numbers of single precision."""

Bytes = NDArray[np.uint8]


def text_of_rows(table: Table, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    r"""Return rows of plain values, numbers, texts, times and None, as a text.

    Examples
    --------
    >>> from sqlalchemy import Column, Integer, MetaData, String
    >>> table = Table("t", MetaData(), Column("a", Integer), Column("b", String(9)))
    >>> text_of_rows(table, ["a", "b"], [(1, "x\ty"), (None, None)])
    b'1\tx\\ty\n\\N\t\\N\n'
    """
    pairs = [
        _formatted(values, getattr(table.c[name].type, "precision", None))
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    ]
    line = "\t".join(format_ for format_, _ in pairs) + "\n"
    # One operation of the interpreter per row; per value would cost as much as the server.
    return "".join(map(line.__mod__, zip(*(values for _, values in pairs), strict=True))).encode()


def text_of_numbers(columns: Sequence[NDArray[Any]]) -> bytes:
    r"""Return columns of numbers as a text; what is not finite becomes NULL.

    Parameters
    ----------
    columns : sequence of ndarray, shape (n_row,)
        Whole numbers; float32, of which nothing is lost in columns of single precision;
        float64, which are written with all of their digits.

    Examples
    --------
    >>> text_of_numbers([np.array([7, 12]), np.array([-0.5, np.nan], np.float32)])
    b'07\t-5000000000e-10\n12\t\\N\n'
    """
    cells = [_cells(values) for values in columns]
    n_row = len(columns[0])
    lines = np.empty((n_row, sum(cell.shape[1] + 1 for cell in cells)), np.uint8)
    start = 0
    for cell in cells:
        stop = start + cell.shape[1]
        lines[:, start:stop] = cell
        lines[:, stop] = ord("\t")
        start = stop + 1
    lines[:, -1] = ord("\n")
    return lines.tobytes().translate(None, b"\0")


def _cells(values: NDArray[Any]) -> Bytes:
    """Return the texts of a column, one in a line, or one for all; zero bytes count nothing."""
    # Not zeros with a sign: they are equal to those without.
    if (values == values[0]).all() and (values[0] != 0 or values.dtype.kind != "f"):
        values = values[:1]
    if values.dtype.kind != "f":
        return _integers(values)
    if values.dtype == np.float32:
        return _singles(values.astype(np.float64))
    return _as_bytes([repr(v) if math.isfinite(v) else NULL for v in values.tolist()])


def _as_bytes(texts: list[str]) -> Bytes:
    made = np.array(texts, dtype=np.bytes_)
    return made.view(np.uint8).reshape(len(texts), made.itemsize)


def _integers(values: NDArray[Any]) -> Bytes:
    """Write whole numbers, with zeros in front that make them equally long."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    n_digits = len(str(max(-low, high)))
    if n_digits > _MOST_DIGITS:
        return _as_bytes([str(value) for value in values.tolist()])
    sign = int(low < 0)
    n_digits += n_digits % 2
    cells = np.empty((len(values), sign + n_digits), np.uint8)
    if sign:
        cells[:, 0] = np.where(values < 0, ord("-"), 0)
    _write_digits(cells, sign, n_digits, np.abs(values.astype(np.int64)))
    return cells


def _singles(values: NDArray[np.float64]) -> Bytes:
    """Write numbers of single precision."""
    finite = np.isfinite(values)
    size = np.where(finite, np.abs(values), 0.0)
    power = np.floor(np.log10(np.where(size > 0.0, size, 1.0))).astype(np.int64)
    tens, texts = _powers()
    place = power - _SMALLEST_POWER
    # The nearest whole number may be missed by one: a digit beyond single precision has room.
    whole = np.minimum(np.rint(size * tens[place]).astype(np.int64), 10**_SINGLE_DIGITS - 1)
    cells = np.empty((len(values), 1 + _SINGLE_DIGITS + texts.itemsize), np.uint8)
    cells[:, 0] = np.where(np.signbit(values), ord("-"), 0)
    _write_digits(cells, 1, _SINGLE_DIGITS, whole)
    _column(cells, 1 + _SINGLE_DIGITS, texts.dtype)[:] = texts[place]
    if not finite.all():
        cells[~finite] = 0
        cells[~finite, : len(NULL)] = np.frombuffer(NULL.encode(), np.uint8)
    return cells


def _write_digits(cells: Bytes, start: int, n_digits: int, values: NDArray[np.int64]) -> None:
    """Write numbers that are not negative into an even number of digits, zeros in front."""
    stop = start + n_digits
    while stop > start:
        width = min(stop - start, _GROUP_DIGITS)
        values, group = np.divmod(values, 10**_GROUP_DIGITS)
        digits = _digits(width)
        _column(cells, stop - width, digits.dtype)[:] = digits[group]
        stop -= width


def _column(cells: Bytes, start: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return some neighbouring bytes of each line as one number."""
    return np.ndarray(len(cells), dtype, cells.data, start, cells.strides[:1])


@cache
def _digits(width: int) -> NDArray[Any]:
    """Return all numbers of two or four digits; their bytes as one number each."""
    texts = np.array([f"{number:0{width}d}" for number in range(10**width)], dtype=np.bytes_)
    return texts.view(np.uint16 if width == 2 else np.uint32)


@cache
def _powers() -> tuple[NDArray[np.float64], NDArray[np.uint32]]:
    """Return what makes whole numbers of ten digits, and the text behind them."""
    exponents = [power + 1 - _SINGLE_DIGITS for power in range(_SMALLEST_POWER, _LARGEST_POWER)]
    tens = np.array([float(f"1e{-exponent}") for exponent in exponents])
    texts = np.array([f"e{exponent}" for exponent in exponents], dtype="S4")
    return tens, texts.view(np.uint32)


def _formatted(values: Sequence[Any], precision_bits: int | None) -> tuple[str, Sequence[Any]]:
    """Return a column, and the format that turns each of its values into text."""
    kinds = set(map(type, values))
    if kinds <= {int, bool}:
        return "%d", values
    if kinds <= {float, NoneType}:
        digits = f"%.{_SINGLE_DIGITS}g" if precision_bits == SINGLE_BITS else "%r"
        if kinds == {float}:
            return digits, values
        return "%s", [NULL if value is None else digits % value for value in values]
    return "%s", [_text(value) for value in values]


def _text(value: Any) -> str:
    if value is None:
        return NULL
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    return repr(value)
