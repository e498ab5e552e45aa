"""Light curves that other programs wrote: time, flux and, where known, its error."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.schema.errors import ConfigurationError, NotFoundError

TIME_NAMES = ("bjd_tdb_mid", "bjd_tdb", "bjd", "time", "jd_utc_mid", "jd")
FLUX_NAMES = ("relative_flux", "flux", "rel_flux")
ERROR_NAMES = ("relative_flux_error", "flux_error", "flux_err", "error", "err", "fluxerr")


@dataclass(frozen=True, eq=False)
class ForeignCurve:
    """Points in the order of time, shape (n,); ``error`` is None where the file has none."""

    name: str
    time: FloatArray
    flux: FloatArray
    error: FloatArray | None


def read_foreign_curve(path: Path) -> ForeignCurve:
    """Read a light curve from a file.

    Parameters
    ----------
    path : Path
        ``.json`` with lists named time and flux, or any table that astropy reads (``.csv``,
        ``.ecsv``, ``.fits`` …) with such columns; names as in :data:`TIME_NAMES`,
        :data:`FLUX_NAMES`, :data:`ERROR_NAMES`, in any case.

    Raises
    ------
    NotFoundError
        If there is no such file.
    ConfigurationError
        If it cannot be read, or has no time or flux.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no file {path} to compare with")
    columns = _columns(path)
    time, flux = _first(columns, TIME_NAMES), _first(columns, FLUX_NAMES)
    if time is None or flux is None or time.shape != flux.shape or time.ndim != 1:
        raise ConfigurationError(
            f"{path.name} has the columns {', '.join(columns) or 'none'}; a light curve needs one "
            f"of {', '.join(TIME_NAMES)} and one of {', '.join(FLUX_NAMES)}, of one length"
        )
    error = _first(columns, ERROR_NAMES)
    order = np.argsort(time, kind="stable")
    return ForeignCurve(
        name=path.stem,
        time=time[order],
        flux=flux[order],
        error=None if error is None or error.shape != time.shape else error[order],
    )


def _columns(path: Path) -> dict[str, object]:
    try:
        if path.suffix.lower() == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            found = content.items() if isinstance(content, dict) else ()
            return {str(name).lower(): value for name, value in found if isinstance(value, list)}
        from astropy.table import Table  # noqa: PLC0415 - slow to import, and rarely needed

        table = Table.read(path)
        return {str(name).lower(): np.asarray(table[name]) for name in table.colnames}
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(f"{path.name} cannot be read as a light curve: {error}") from error


def _first(columns: dict[str, object], names: tuple[str, ...]) -> FloatArray | None:
    for name in names:
        if name in columns:
            try:
                return np.asarray(columns[name], dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise ConfigurationError(f"the column {name} holds no numbers: {error}") from error
    return None
