"""The columns of the view ``light_curve``: order, types, units and meanings, in one place."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from sqlalchemy import BigInteger, DateTime, Double, Float, String


class Kind(Enum):
    """What a column holds."""

    INTEGER = "integer"
    TEXT = "text"
    TIME = "time"
    DOUBLE = "double"
    SINGLE = "single"
    """A number stored in 32 bits; more than nine of its digits mean nothing."""
    BIT = "bit"
    """0 or 1."""

    @property
    def sql_type(self) -> Any:
        """Type by which the database's value is read."""
        return {
            Kind.TEXT: String(),
            Kind.TIME: DateTime(),
            Kind.DOUBLE: Double(),
            Kind.SINGLE: Float(24),
        }.get(self, BigInteger())

    @property
    def dtype(self) -> Any:
        """NumPy type of the column's values."""
        return {
            Kind.TEXT: np.dtype(np.str_),
            Kind.TIME: np.dtype("datetime64[us]"),
            Kind.DOUBLE: np.dtype(np.float64),
            Kind.SINGLE: np.dtype(np.float32),
            Kind.BIT: np.dtype(np.int16),
        }.get(self, np.dtype(np.int64))


@dataclass(frozen=True)
class ViewColumn:
    """One column of the view.

    ``unit`` is one that astropy reads; :data:`FLUX_UNIT` stands for the unit of the run.
    """

    name: str
    kind: Kind
    unit: str | None
    description: str


FLUX_UNIT = "flux"

COLUMNS = (
    ViewColumn("source_id", Kind.INTEGER, None, "number of the source"),
    ViewColumn("source_name", Kind.TEXT, None, "registered target that the source is"),
    ViewColumn("target", Kind.TEXT, None, "target of the observation"),
    ViewColumn("ra", Kind.DOUBLE, "deg", "right ascension of the source, ICRS"),
    ViewColumn("dec", Kind.DOUBLE, "deg", "declination of the source, ICRS"),
    ViewColumn("x", Kind.DOUBLE, "pix", "0-based template pixel of the source"),
    ViewColumn("y", Kind.DOUBLE, "pix", "0-based template pixel of the source"),
    ViewColumn("utc_mid", Kind.TIME, None, "mid-exposure, UTC"),
    ViewColumn("jd_utc_mid", Kind.DOUBLE, "d", "mid-exposure, Julian date in UTC"),
    ViewColumn("bjd_tdb_mid", Kind.DOUBLE, "d", "mid-exposure at the barycentre, BJD in TDB"),
    ViewColumn("filter", Kind.TEXT, None, "passband"),
    ViewColumn("airmass", Kind.SINGLE, None, "airmass at mid-exposure"),
    ViewColumn("radius_pix", Kind.SINGLE, "pix", "radius of the aperture"),
    ViewColumn("is_default_radius", Kind.BIT, None, "1: the radius chosen for this source"),
    ViewColumn("flux", Kind.SINGLE, FLUX_UNIT, "flux in the aperture"),
    ViewColumn("flux_error", Kind.SINGLE, FLUX_UNIT, "1 sigma of flux"),
    ViewColumn("relative_flux", Kind.SINGLE, None, "flux over that of the reference stars"),
    ViewColumn("relative_flux_error", Kind.SINGLE, None, "1 sigma of relative_flux"),
    ViewColumn("flags", Kind.INTEGER, None, "bits of FluxFlag; 0: nothing to remark"),
    ViewColumn("is_reference", Kind.BIT, None, "1: the source is a reference star"),
    ViewColumn("frame_is_good", Kind.BIT, None, "1: the frame passed the selection of the night"),
    ViewColumn("image_id", Kind.INTEGER, None, "number of the frame"),
    ViewColumn("observation_id", Kind.INTEGER, None, "number of the observation"),
    ViewColumn("run_id", Kind.INTEGER, None, "number of the run"),
)

STACK_COLUMNS = (
    *COLUMNS,
    ViewColumn("time_scale", Kind.TEXT, None, "how long the stacks are"),
    ViewColumn("n_frames", Kind.INTEGER, None, "frames averaged"),
    ViewColumn("exposure_s", Kind.DOUBLE, "s", "summed exposure"),
)
"""Of the view ``stack_light_curve``; ``image_id`` is the middle frame, fluxes are means per frame
and ``frame_is_good`` is always 1."""

COLUMN_NAMES = tuple(column.name for column in COLUMNS)

MAGNITUDE_COLUMNS = (
    ViewColumn("magnitude", Kind.SINGLE, "mag", "calibrated magnitude in the catalogue's band"),
    ViewColumn("magnitude_error", Kind.SINGLE, "mag", "1 sigma, without the zero point's own"),
)
"""Further columns of a light curve, where people ask for them."""

DETRENDED_COLUMNS = (
    ViewColumn("trend", Kind.DOUBLE, None, "slow trend of good frames, relative"),
    ViewColumn("detrended_flux", Kind.DOUBLE, None, "relative_flux / (1 + trend)"),
    ViewColumn("detrended_flux_error", Kind.DOUBLE, None, "1 sigma, without the trend's own"),
)
"""Further columns of a detrended light curve; the raw ones stay."""
