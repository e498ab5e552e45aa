"""Stars of a catalogue in one form, wherever they came from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import FloatArray

if TYPE_CHECKING:  # slow to import, and most runs ask for no catalogue
    from astropy.table import Column, MaskedColumn, Table

J2000 = 2000.0

NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("source_id", "id", "designation", "name", "tyc", "objid", "recno"),
    "ra_deg": ("ra_deg", "ra", "raj2000", "ra_icrs", "radeg", "_raj2000", "ramdeg"),
    "dec_deg": ("dec_deg", "dec", "dej2000", "de_icrs", "dedeg", "_dej2000", "demdeg", "decl"),
    "pm_ra_mas": ("pmra", "pm_ra", "pm_ra_mas"),
    "pm_dec_mas": ("pmdec", "pmde", "pm_dec", "pm_dec_mas"),
    "epoch": ("ref_epoch", "epoch"),
    "magnitude": (
        "magnitude", "mag", "phot_g_mean_mag", "gmag", "mag_vt", "vtmag", "vmag", "rmag",
    ),
    "colour": ("colour", "color", "bp_rp", "bp-rp", "b_v", "b-v"),
    "is_variable": ("is_variable", "phot_variable_flag", "varflag", "variable"),
}  # fmt: skip
"""Column names that are understood, in small letters, the most specific first."""

UCDS: Mapping[str, tuple[str, ...]] = {
    "id": ("meta.id;meta.main",),
    "ra_deg": ("pos.eq.ra;meta.main", "pos.eq.ra"),
    "dec_deg": ("pos.eq.dec;meta.main", "pos.eq.dec"),
    "pm_ra_mas": ("pos.pm;pos.eq.ra",),
    "pm_dec_mas": ("pos.pm;pos.eq.dec",),
    "epoch": ("meta.ref;time.epoch", "time.epoch"),
    "magnitude": ("phot.mag;em.opt", "phot.mag;em.opt.v", "phot.mag;em.opt.r"),
    "colour": ("phot.color",),
    "is_variable": ("meta.code;src.var", "src.var"),
}
"""Unified content descriptors, as VOTables carry them; they come before names."""

UNITS: Mapping[str, str] = {
    "ra_deg": "deg",
    "dec_deg": "deg",
    "pm_ra_mas": "mas / yr",
    "pm_dec_mas": "mas / yr",
    "epoch": "yr",
    "magnitude": "mag",
    "colour": "mag",
}

_VARIABLE = {"variable": 1.0, "true": 1.0, "1": 1.0, "constant": 0.0, "false": 0.0, "0": 0.0}


@dataclass(frozen=True)
class CatalogueStars:
    """Stars of a catalogue.

    Attributes
    ----------
    name : str
        Of the catalogue.
    id : ndarray of str, shape (n,)
    ra_deg, dec_deg : ndarray, shape (n,)
        ICRS at the star's epoch, degrees.
    pm_ra_mas, pm_dec_mas : ndarray, shape (n,)
        Proper motion towards east (times cos δ) and north, mas per year; 0 where not known.
    epoch : ndarray, shape (n,)
        Julian years.
    magnitude, colour : ndarray, shape (n,)
        In the catalogue's own bands; NaN where not known.
    is_variable : ndarray, shape (n,)
        1, 0, or NaN where the catalogue does not say.
    """

    name: str
    id: NDArray[np.str_]
    ra_deg: FloatArray
    dec_deg: FloatArray
    pm_ra_mas: FloatArray
    pm_dec_mas: FloatArray
    epoch: FloatArray
    magnitude: FloatArray
    colour: FloatArray
    is_variable: FloatArray

    def __len__(self) -> int:
        return len(self.ra_deg)


def stars_of_table(
    table: "Table",
    name: str,
    *,
    columns: Mapping[str, str] | None = None,
    epoch: float | None = None,
) -> CatalogueStars:
    """Bring a table into the common form.

    Parameters
    ----------
    table : Table
        With at least right ascension and declination; rows without either are left out.
    name : str
        Of the catalogue.
    columns : mapping of str to str, optional
        Columns by what they hold (a field of :class:`CatalogueStars`), for those that neither
        content descriptor nor name tells.
    epoch : float, optional
        Of the positions, Julian years, where no column has it; J2000 by default.

    Raises
    ------
    UnusableDataError
        If a column is missing or unreadable, or a position is off the sky.
    """
    chosen = _choose(table, columns or {})
    for needed in ("ra_deg", "dec_deg"):
        if needed not in chosen:
            raise UnusableDataError(
                f"the catalogue {name} has no column for {needed}; it has "
                f'{", ".join(table.colnames)}: name one with columns={{"{needed}": ...}}'
            )
    numbers = {
        field: _numbers(table[chosen[field]], field, name)
        if field in chosen
        else np.full(len(table), np.nan)
        for field in UNITS
    }
    keep = np.isfinite(numbers["ra_deg"]) & np.isfinite(numbers["dec_deg"])
    off = keep & ((np.abs(numbers["dec_deg"]) > 90.0) | (np.abs(numbers["ra_deg"]) > 360.0))
    if off.any():
        raise UnusableDataError(
            f"row {int(np.argmax(off)) + 1} of the catalogue {name} is not a position in degrees"
        )
    ids = table[chosen["id"]] if "id" in chosen else np.arange(1, len(table) + 1)
    default_epoch = J2000 if epoch is None else epoch
    return CatalogueStars(
        name=name,
        id=np.array([str(value) for value in ids], dtype=np.str_)[keep],
        ra_deg=numbers["ra_deg"][keep] % 360.0,
        dec_deg=numbers["dec_deg"][keep],
        pm_ra_mas=np.nan_to_num(numbers["pm_ra_mas"][keep]),
        pm_dec_mas=np.nan_to_num(numbers["pm_dec_mas"][keep]),
        epoch=np.nan_to_num(numbers["epoch"][keep], nan=default_epoch),
        magnitude=numbers["magnitude"][keep],
        colour=numbers["colour"][keep],
        is_variable=_flags(table, chosen.get("is_variable"))[keep],
    )


def _choose(table: "Table", wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the column of each field: as a person says, else by UCD, else by name."""
    unknown = sorted(set(wanted) - set(NAMES))
    if unknown:
        raise UnusableDataError(
            f"a catalogue has no field {unknown[0]!r}; columns can be named for {', '.join(NAMES)}"
        )
    absent = sorted(column for column in wanted.values() if column not in table.colnames)
    if absent:
        raise UnusableDataError(
            f"there is no column {absent[0]!r}; the table has {', '.join(table.colnames)}"
        )
    by_ucd: dict[str, str] = {}
    for column in table.colnames:
        ucd = str(table[column].meta.get("ucd") or "").lower()
        by_ucd.setdefault(ucd, column)
    by_name = {column.lower(): column for column in reversed(table.colnames)}
    chosen = {}
    for field, names in NAMES.items():
        found = [by_ucd[ucd] for ucd in UCDS[field] if ucd in by_ucd]
        found += [by_name[name] for name in names if name in by_name]
        if field in wanted or found:
            chosen[field] = wanted.get(field) or found[0]
    return chosen


def _numbers(column: "Column | MaskedColumn", field: str, name: str) -> FloatArray:
    try:
        values = np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan)
    except (TypeError, ValueError) as error:
        raise UnusableDataError(
            f"column {column.name!r} of the catalogue {name} is taken for {field} and is not a "
            f"number throughout ({error}); give degrees, or name another column"
        ) from error
    unit = column.unit
    if unit is not None and unit != "" and unit.is_equivalent(UNITS[field]):
        values = (values * unit).to_value(UNITS[field])
    return np.asarray(values, dtype=np.float64)


def _flags(table: "Table", column: str | None) -> FloatArray:
    if column is None:
        return np.full(len(table), np.nan)
    # Gaia says VARIABLE, CONSTANT or NOT_AVAILABLE; others true and false.
    return np.array([_VARIABLE.get(str(v).strip().lower(), np.nan) for v in table[column]])
