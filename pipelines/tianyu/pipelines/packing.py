"""Columns of a light curve as one small array of bytes, without any loss."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEPARATOR = ":"


def pack_columns(columns: Mapping[str, NDArray[Any]]) -> bytes:
    """Pack one-dimensional arrays.

    The first bytes of all numbers stand together, then the second ones, and so on: neighbours in
    a light curve have the same exponent and differ in their last bytes, which is what makes them
    compress. The container is NumPy's ``.npz``; it holds no pickles.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (n,)
        Numbers, each column of a length of its own.

    Returns
    -------
    bytes
        For :func:`unpack_columns`.

    Raises
    ------
    ValueError
        If a column is not one-dimensional, or holds something other than numbers.

    Examples
    --------
    >>> packed = pack_columns({"flux": np.array([1.5, np.nan], np.float32)})
    >>> unpack_columns(packed)
    {'flux': array([1.5, nan], dtype=float32)}
    """
    planes = {}
    for name, values in columns.items():
        if values.ndim != 1 or values.dtype.kind not in "iuf":
            raise ValueError(
                f"column {name} has {values.ndim} dimensions and type {values.dtype}; only "
                "one-dimensional arrays of numbers can be packed"
            )
        little = values.astype(values.dtype.newbyteorder("<"))
        by_byte = little.view(np.uint8).reshape(-1, little.itemsize).T
        planes[f"{name}{SEPARATOR}{little.dtype.str[1:]}"] = np.ascontiguousarray(by_byte)
    whole = io.BytesIO()
    np.savez_compressed(whole, **planes)  # type: ignore[arg-type]  # mypy takes names for options
    return whole.getvalue()


def unpack_columns(packed: bytes) -> dict[str, NDArray[Any]]:
    """Return what :func:`pack_columns` was given, with the same types and the same bits.

    Raises
    ------
    ValueError
        If these bytes were not made by it, or are not whole.
    """
    try:
        with np.load(io.BytesIO(packed), allow_pickle=False) as planes:
            return {
                key.partition(SEPARATOR)[0]: _joined(planes[key], key.partition(SEPARATOR)[2])
                for key in planes.files
            }
    except (zipfile.BadZipFile, KeyError, EOFError, OSError, TypeError) as error:
        raise ValueError(f"{len(packed)} bytes are no packed columns: {error}") from error


def _joined(by_byte: NDArray[Any], kind: str) -> NDArray[Any]:
    stored = np.dtype(f"<{kind}")
    values = np.ascontiguousarray(by_byte.T).reshape(-1).view(stored)
    return values.astype(stored.newbyteorder("="))
