"""The database path on MariaDB: storing rows, one star back, relative photometry end to end."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pymysql
from sqlalchemy import make_url, select, text
from tests.benchmarks.curves import CurveNight, enter_night, load_fluxes, n_fluxes

from tianyu.cli.queries.light_curve import read_light_curve
from tianyu.cli.queries.source_search import FoundSource
from tianyu.pipelines.comparing import Method, choose_candidates, compare
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.cube import load_cube
from tianyu.pipelines.medians import MANY, medians_for
from tianyu.pipelines.science.surface import compare_with_surface
from tianyu.pipelines.step import find_step, validate
from tianyu.schema.database import Database
from tianyu.schema.migrate import upgrade
from tianyu.schema.numbers import read_numbers
from tianyu.schema.tables import Flux, RelativeFlux

COMPARE = "relative_photometry"
READS = 15
"""Stars that are read back, each another one."""


@dataclass(frozen=True)
class StoringTimes:
    """ms for the rows of 900 stars in one frame, each way; the same rows."""

    executemany_ms: float
    insert_columns_ms: float
    rows_per_frame: int


@dataclass(frozen=True)
class CurveTimes:
    """What becomes of fluxes that are in the database."""

    n_rows: int
    load_s: float
    flux_of_a_star_ms: float
    light_curve_of_a_star_ms: float
    relative_end_to_end_s: float
    relative_arithmetic_s: float


def storing(url: str, root: Path, n_sources: int, n_frames: int, n_apertures: int) -> StoringTimes:
    """Store the rows of a chunk both ways: frame by frame with executemany, and as the steps do."""
    database = Database(url)
    upgrade(database)
    night = enter_night(database, root, n_sources, n_frames, n_apertures)
    try:
        plain_s = _executemany(url, night)
        plain = n_fluxes(database)
        with database.write() as connection:
            connection.execute(text("DELETE FROM flux"))
        bulk_s = _seconds(lambda: load_fluxes(database, night))
        if plain != n_fluxes(database):
            raise RuntimeError(f"{plain} rows by executemany, {n_fluxes(database)} in bulk")
    finally:
        database.dispose()
    per_frame = 1e3 / n_frames
    return StoringTimes(plain_s * per_frame, bulk_s * per_frame, n_sources * n_apertures)


def _executemany(url: str, night: CurveNight) -> float:
    """Insert as the manuals of the driver show it: one executemany and one commit per frame."""
    at = make_url(url)
    connection = pymysql.connect(
        host=at.host, port=at.port or 3306, user=at.username, password=at.password or "",
        database=at.database,
    )  # fmt: skip
    total_s = 0.0
    with connection, connection.cursor() as cursor:
        for i in range(len(night.image_id)):
            columns = night.columns(slice(i, i + 1))
            names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
            sql = f"INSERT INTO flux ({names}) VALUES ({marks})"  # noqa: S608 - our names
            start = time.perf_counter()
            cursor.executemany(sql, list(zip(*(v.tolist() for v in columns.values()), strict=True)))
            connection.commit()
            total_s += time.perf_counter() - start
    return total_s


def curves(url: str, root: Path, n_sources: int, n_frames: int) -> CurveTimes:
    """Load a night of one aperture, compare it, and read stars back."""
    database = Database(url)
    upgrade(database)
    night = enter_night(database, root, n_sources, n_frames)
    try:
        load_s = _seconds(lambda: load_fluxes(database, night))
        # Imported before the clock runs, as in a consumer's child that has measured frames.
        find_step(COMPARE)
        _warm_up(night)
        relative_s = _seconds(lambda: _compare(database, night, root))
        return CurveTimes(
            n_rows=n_fluxes(database),
            load_s=load_s,
            flux_of_a_star_ms=_one_star_ms(night, lambda s: _fluxes(database, night, s)),
            light_curve_of_a_star_ms=_one_star_ms(night, lambda s: _light_curve(database, s)),
            relative_end_to_end_s=relative_s,
            relative_arithmetic_s=_arithmetic_s(database, night, root),
        )
    finally:
        database.dispose()


def _warm_up(night: CurveNight) -> None:
    """Compile the kernels of the comparison, or load them."""
    arithmetic = medians_for(MANY)
    few, ones = night.flux[:9] / night.flux[:9].mean(axis=1, keepdims=True), np.ones(9)
    usable = np.ones(few.shape, np.bool_)
    others = compare_with_surface(few, ones[:, None], usable, ones, ones[:, None], arithmetic)
    arithmetic.mad_of_ratio(few, others.value, usable)
    arithmetic.mad(arithmetic.median(few)[:, None])


def _compare(database: Database, night: CurveNight, root: Path) -> None:
    """Run the step and commit its products, from rows to rows."""
    context = _context(database, night, root)
    products = find_step(COMPARE).run(validate(COMPARE, {}), context)
    with database.write() as connection:
        products.write(connection)
    with database.read() as connection:
        found = connection.scalar(select(RelativeFlux.relative_flux).limit(1))
    if found is None:
        raise RuntimeError("no relative flux came of the comparison")


def _arithmetic_s(database: Database, night: CurveNight, root: Path) -> float:
    cube = load_cube(_context(database, night, root))
    candidates, _ = choose_candidates(cube, 0, Method.ENSEMBLE)
    medians = medians_for(cube.flux.size)
    return _seconds(lambda: compare(cube, candidates, Method.ENSEMBLE, medians=medians))


def _context(database: Database, night: CurveNight, root: Path) -> StepContext:
    return StepContext(database, 1, night.run_id, COMPARE, 1, night.site_id, root)


def _one_star_ms(night: CurveNight, read: Callable[[int], int]) -> float:
    times = []
    for source_id in night.source_id[:: max(len(night.source_id) // READS, 1)]:
        start = time.perf_counter()
        n = read(int(source_id))
        times.append(1e3 * (time.perf_counter() - start))
        if n != len(night.image_id):
            raise RuntimeError(f"source {source_id} has {n} points, not {len(night.image_id)}")
    return statistics.median(times)


def _fluxes(database: Database, night: CurveNight, source_id: int) -> int:
    """Read them as the steps do, as an array."""
    key, *others = (Flux.__table__.c[n] for n in ("source_id", "image_id", "flux", "flux_error"))
    of_star = (Flux.run_id == night.run_id) & (Flux.source_id == source_id)
    with database.read() as connection:
        return len(read_numbers(connection, [key], others, of_star))


def _light_curve(database: Database, source_id: int) -> int:
    """Read what the command ``tianyu lightcurve`` prints."""
    with database.read() as connection:
        curve = read_light_curve(connection, FoundSource((source_id,), "benchmark"))
    return len(curve.columns["relative_flux"])


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
