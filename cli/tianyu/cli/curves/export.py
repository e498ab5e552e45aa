"""Writing a light curve to a file that other programs read without loss."""

import contextlib
import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tianyu.cli.answers import to_plain
from tianyu.cli.curves.columns import FLUX_UNIT, Kind, ViewColumn
from tianyu.cli.curves.light_curve import LightCurve
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.schema.directory import code_version
from tianyu.schema.errors import ConfigurationError

UTC_LENGTH = len("2017-12-20T04:00:00.000000")


def export(curve: LightCurve, path: Path) -> None:
    """Write a light curve in the format that the file's ending names.

    ``.csv`` has numbers with all their digits and empty fields for what is not known;
    ``.ecsv`` and ``.fits`` have units and descriptions; ``.json`` a list of objects. All but
    ``.csv`` name the coefficients of a trend.

    Raises
    ------
    ConfigurationError
        If the ending is not known, or the file cannot be written.
    """
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise ConfigurationError(
            f"cannot export to {path.name}: the ending names the format, one of "
            f"{', '.join(WRITERS)}"
        )
    # Under another name first: a failure in the middle must not leave half a table.
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer(curve, partial)
        os.replace(partial, path)  # noqa: PTH105 - atomic on every platform
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise ConfigurationError(f"cannot write {path}: {error.strerror or error}") from error


def records(curve: LightCurve) -> Iterator[dict[str, Any]]:
    """Yield the points as mappings of plain values, None for what is not known."""
    columns = [_plain(column, curve) for column in curve.view_columns]
    for values in zip(*columns, strict=True):
        yield dict(zip(curve.columns, values, strict=True))


def metadata(curve: LightCurve) -> dict[str, Any]:
    """Return what a reader of the file should know of the whole curve."""
    detrending = {"detrending": to_plain(curve.detrending)} if curve.detrending else {}
    return {
        "source": curve.how,
        "runs": sorted({int(run) for run in curve["run_id"]}),
        "flux_unit": curve.flux_unit or "differs between runs",
        "flags": {str(flag.name).lower(): int(flag) for flag in FluxFlag},
        "software": f"tianyu {code_version()}",
        **detrending,
    }


def _plain(column: ViewColumn, curve: LightCurve) -> list[Any]:
    values = curve[column.name]
    if column.kind is Kind.TIME:
        texts = np.datetime_as_string(values, unit="us")
        return [None if np.isnat(v) else str(t) for v, t in zip(values, texts, strict=True)]
    if column.kind is Kind.TEXT:
        return [str(value) or None for value in values]
    if column.kind is Kind.SINGLE:
        # The shortest text that gives the same 32 bits again.
        return [float(str(value)) if np.isfinite(value) else None for value in values]
    if column.kind is Kind.DOUBLE:
        return [value if np.isfinite(value) else None for value in values.tolist()]
    return list(values.tolist())


def _write_csv(curve: LightCurve, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*curve.columns], lineterminator="\n")
        writer.writeheader()
        # Python writes a float with the digits that bring it back exactly.
        writer.writerows(records(curve))


def _write_json(curve: LightCurve, path: Path) -> None:
    content = {**metadata(curve), "points": list(records(curve))}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_ecsv(curve: LightCurve, path: Path) -> None:
    from astropy.table import Column, Table  # noqa: PLC0415 - slow to import, and rarely needed

    found = Table(meta=metadata(curve))
    for column in curve.view_columns:
        values, unit = _with_unit(column, curve)
        found[column.name] = Column(values, unit=unit, description=column.description)
    found.write(path, format="ascii.ecsv", overwrite=True)


def _write_fits(curve: LightCurve, path: Path) -> None:
    from astropy.io import fits  # noqa: PLC0415 - slow to import, and rarely needed

    columns = []
    for column in curve.view_columns:
        values, unit = _with_unit(column, curve)
        form = f"{max(values.dtype.itemsize // 4, 1)}A" if values.dtype.kind == "U" else None
        form = form or {"i2": "I", "i8": "K", "f4": "E", "f8": "D"}[values.dtype.str[1:]]
        columns.append(fits.Column(column.name, form, unit, array=values))
    hdu = fits.BinTableHDU.from_columns(columns, name="LIGHT_CURVE")
    for i, column in enumerate(curve.view_columns, start=1):
        hdu.header.set(f"TCOMM{i}", column.description, after=f"TFORM{i}")
    known = metadata(curve)
    hdu.header["SOURCE"] = _ascii(known["source"]), "how the source was found"
    hdu.header["RUNS"] = ",".join(map(str, known["runs"])), "runs that measured it"
    hdu.header["FLUXUNIT"] = known["flux_unit"], "unit of flux and flux_error"
    hdu.header["CREATOR"] = known["software"]
    for name, value in known["flags"].items():
        hdu.header[f"FLAG{value.bit_length() - 1}"] = name, f"meaning of {value} in flags"
    for i, of_run in enumerate(known.get("detrending", ()), start=1):
        # Longer than a card: continued over several, as the standard has it.
        hdu.header[f"TREND{i}"] = _ascii(json.dumps(of_run, ensure_ascii=False))
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)


def _with_unit(column: ViewColumn, curve: LightCurve) -> tuple[NDArray[Any], str | None]:
    """Return the values of a column, times as texts, and its unit."""
    values = curve[column.name]
    if column.kind is Kind.TIME:
        texts = np.datetime_as_string(values, unit="us")
        values = np.where(np.isnat(values), "", texts).astype(f"U{UTC_LENGTH}")
    return values, curve.flux_unit if column.unit == FLUX_UNIT else column.unit


def _ascii(text: str) -> str:
    # A FITS card holds ASCII only.
    return text.replace("″", " arcsec").encode("ascii", "replace").decode()


WRITERS: Mapping[str, Callable[[LightCurve, Path], None]] = {
    ".csv": _write_csv,
    ".ecsv": _write_ecsv,
    ".fits": _write_fits,
    ".json": _write_json,
}
"""Formats by the ending of the file."""
