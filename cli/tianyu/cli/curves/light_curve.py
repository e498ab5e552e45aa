"""A light curve in memory: the columns of the view, as arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tianyu.cli.curves.columns import COLUMNS, ViewColumn
from tianyu.pipelines.science.arrays import BoolArray, FloatArray
from tianyu.pipelines.science.flags import FluxFlag

SPOILING = (
    FluxFlag.SATURATED
    | FluxFlag.NEAR_EDGE
    | FluxFlag.MASKED_PIXEL
    | FluxFlag.NEGATIVE_FLUX
    | FluxFlag.OFF_FRAME
    | FluxFlag.FRAME_REJECTED
    | FluxFlag.COSMIC_RAY
    | FluxFlag.TRAIL
)
"""Flags of points that are not to be trusted; the others only remark on how they were made."""


@dataclass(frozen=True, eq=False)
class LightCurve:
    """Points in the order of time, then of radius.

    Attributes
    ----------
    columns : mapping of str to ndarray, shape (n,)
        Every column of the view; NaN, NaT or an empty text where the database has NULL.
    flux_unit : str or None
        ``electron`` or ``adu``; None where runs of different units are joined.
    how : str
        How the source was found, in words.
    view_columns : tuple of ViewColumn
        Those of the view that it was read from.
    """

    columns: Mapping[str, NDArray[Any]]
    flux_unit: str | None
    how: str
    view_columns: tuple[ViewColumn, ...] = COLUMNS
    detrending: tuple[Mapping[str, Any], ...] = ()
    """Per run: the terms of the trend that ``detrended_flux`` is without; see `detrending`."""

    def __post_init__(self) -> None:
        names = tuple(column.name for column in self.view_columns)
        if tuple(self.columns) != names:
            raise ValueError(f"a light curve has the columns {names}, got {[*self.columns]}")

    def __len__(self) -> int:
        return len(self.columns["source_id"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    @property
    def has_relative_flux(self) -> bool:
        """Whether any point was compared with reference stars."""
        return bool(np.isfinite(self["relative_flux"]).any())

    @property
    def value(self) -> FloatArray:
        """Relative flux, detrended where asked for; the flux where nothing was compared."""
        name = "relative_flux" if self.has_relative_flux else "flux"
        name = "detrended_flux" if "detrended_flux" in self.columns else name
        return np.asarray(self[name], dtype=np.float64)

    @property
    def error(self) -> FloatArray:
        """1 sigma of :attr:`value`."""
        name = "relative_flux_error" if self.has_relative_flux else "flux_error"
        name = "detrended_flux_error" if "detrended_flux" in self.columns else name
        return np.asarray(self[name], dtype=np.float64)

    @property
    def has_bjd(self) -> bool:
        """Whether every point has a barycentric time."""
        return bool(np.isfinite(self["bjd_tdb_mid"]).all())

    @property
    def time(self) -> FloatArray:
        """BJD_TDB in days, or JD_UTC where the field's coordinates are not known."""
        name = "bjd_tdb_mid" if self.has_bjd else "jd_utc_mid"
        return np.asarray(self[name], dtype=np.float64)

    @property
    def is_good(self) -> BoolArray:
        """Points of good frames that were measured and carry none of :data:`SPOILING`."""
        spoiled = (self["flags"] & int(SPOILING)) != 0
        good: BoolArray = (self["frame_is_good"] == 1) & np.isfinite(self.value) & ~spoiled
        return good

    def only(self, chosen: BoolArray) -> "LightCurve":
        """Return the chosen points."""
        columns = {name: values[chosen] for name, values in self.columns.items()}
        return replace(self, columns=columns)
