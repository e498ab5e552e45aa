"""Simulated nights that are reduced by the command, and their light curves beside the truth."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.simulation import NightPlan, NightTruth, simulate_night
from tianyu.schema.database import Database, sqlite_url

MATCH_PIX = 1.5
"""Sources and stars this near to each other in a frame are the same."""

SPOILT = int(FluxFlag.SATURATED | FluxFlag.OFF_FRAME | FluxFlag.NEAR_EDGE | FluxFlag.NO_BACKGROUND)
"""Epochs that no error bar can be asked to describe."""

_POINTS = """
SELECT r.source_id, i.name, r.relative_flux, r.relative_flux_error, r.flags,
       f.flux, f.flux_error, f.radius_pix
FROM source_photometry p
JOIN relative_flux r ON r.run_id = p.run_id AND r.source_id = p.source_id
     AND r.aperture = p.default_aperture
JOIN flux f ON f.run_id = r.run_id AND f.source_id = r.source_id
     AND f.image_id = r.image_id AND f.aperture = r.aperture
JOIN frame_verdict v ON v.run_id = r.run_id AND v.image_id = r.image_id AND v.is_good = 1
JOIN image i ON i.id = r.image_id
WHERE p.run_id = (SELECT MAX(run_id) FROM source_photometry)
"""

_PLACES = """
SELECT s.source_id, s.x, s.y FROM source_position s
JOIN reduction d ON d.template_image_id = s.template_image_id
WHERE d.run_id = (SELECT MAX(run_id) FROM source_photometry)
"""

_MAPS = """
SELECT i.name, f.a, f.b, f.c, f.d, f.tx, f.ty FROM frame f JOIN image i ON i.id = f.image_id
WHERE f.run_id = (SELECT MAX(run_id) FROM source_photometry) AND f.a IS NOT NULL
"""


@dataclass(frozen=True, eq=False)
class ReducedNight:
    """Light curves of the stars that were found, frames in order of time.

    Attributes
    ----------
    truth : NightTruth
    star : ndarray of int, shape (n,)
        Which star of the truth each source is.
    frame : ndarray of int, shape (m,)
        Which light of the truth each column is.
    relative, relative_error, flux, flux_error : ndarray, shape (n, m)
        Relative fluxes and measured ones (electrons) in each source's default aperture; NaN
        where they are missing or spoilt.
    flags : ndarray of int, shape (n, m)
    radius_pix : ndarray, shape (n,)
    """

    truth: NightTruth
    star: IntArray
    frame: IntArray
    relative: FloatArray
    relative_error: FloatArray
    flux: FloatArray
    flux_error: FloatArray
    flags: IntArray
    radius_pix: FloatArray

    @property
    def mag(self) -> FloatArray:
        """True magnitudes, shape (n,)."""
        return self.truth.stars.mag[self.star]

    @property
    def bjd_tdb(self) -> FloatArray:
        """Mid-exposures, shape (m,)."""
        return np.array([self.truth.frames[i].bjd_tdb_mid for i in self.frame])

    @property
    def is_constant(self) -> BoolArray:
        """Stars without a signal, shape (n,)."""
        return ~np.isin(self.star, [signal.star for signal in self.truth.signals])

    @property
    def is_complete(self) -> BoolArray:
        """Stars measured in 95 % of the frames, shape (n,)."""
        return np.asarray(np.isfinite(self.relative).mean(axis=1) >= 0.95)

    def isolated(self, most: float = 0.01) -> BoolArray:
        """Stars into whose aperture others send less than a part of their own light, shape (n,).

        By the widest seeing of the night; what changes with the seeing is no noise that an
        error could tell.
        """
        stars = self.truth.stars
        psf = self.truth.frames[0].psf(self.truth.plan.weather.moffat_beta)
        alpha = psf.alpha_pix * max(self.truth.plan.weather.fwhm_pix) / psf.fwhm_pix
        x, y, own = stars.x[self.star], stars.y[self.star], stars.flux_e[self.star]
        distance2 = (x[:, None] - stars.x) ** 2 + (y[:, None] - stars.y) ** 2
        area = np.pi * self.radius_pix**2
        density = (psf.beta - 1) / (np.pi * alpha**2) * (1 + distance2 / alpha**2) ** -psf.beta
        light = np.minimum(density * area[:, None], 1.0) * stars.flux_e
        light[np.arange(self.star.size), self.star] = 0.0
        return np.asarray(light.sum(axis=1) < most * own)


def reduce_night(plan: NightPlan, folder: Path, *options: str) -> ReducedNight:
    """Simulate a night into a folder, reduce it by ``tianyu reduce`` and read what came of it.

    A folder that holds the night already is used as it is.

    Raises
    ------
    RuntimeError
        With what the command said, if it failed.
    """
    frames, out = folder / "frames", folder / "out"
    if not (frames / "truth.json").exists() or NightTruth.read(frames).plan != plan:
        frames.mkdir(parents=True, exist_ok=True)
        simulate_night(plan, frames)
    if not out.exists():
        command = [str(Path(sys.executable).with_name("tianyu")), "reduce", str(frames)]
        done = subprocess.run(
            [*command, "--out", str(out), *options], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return read_night(out / "tianyu.sqlite", NightTruth.read(frames))


def read_night(database_file: Path, truth: NightTruth) -> ReducedNight:
    """Read the newest run of a database and say which star each source is."""
    database = Database(sqlite_url(database_file))
    try:
        with database.read() as connection:
            points, places, maps = (
                [tuple(row) for row in connection.exec_driver_sql(query)]
                for query in (_POINTS, _PLACES, _MAPS)
            )
    finally:
        database.dispose()
    star_of = _match(places, maps, truth)
    points = [point for point in points if point[0] in star_of]
    sources, row = np.unique([point[0] for point in points], return_inverse=True)
    number = {frame.name: frame.index for frame in truth.frames}
    frames, column = np.unique([number[point[1]] for point in points], return_inverse=True)
    shape = (len(sources), len(frames))
    values = np.array([[np.nan if v is None else v for v in p[2:]] for p in points])
    flags = np.zeros(shape, dtype=np.int64)
    flags[row, column] = values[:, 2].astype(np.int64)
    radius = np.zeros(len(sources))
    radius[row] = values[:, 5]

    def cube(k: int) -> FloatArray:
        cells = np.full(shape, np.nan)
        cells[row, column] = values[:, k]
        return np.where(flags & SPOILT, np.nan, cells)

    return ReducedNight(
        truth=truth,
        star=np.array([star_of[source] for source in sources]),
        frame=frames,
        relative=cube(0),
        relative_error=cube(1),
        flux=cube(3),
        flux_error=cube(4),
        flags=flags,
        radius_pix=radius,
    )


def _match(
    places: list[tuple[float, ...]], maps: list[tuple[float, ...]], truth: NightTruth
) -> dict[int, int]:
    """Number of the brightest star at each source, seen in the first frame of the run."""
    number = {frame.name: frame.index for frame in truth.frames}
    name, a, b, c, d, tx, ty = maps[0]
    source, x, y = np.array(places, dtype=float).T
    star_x, star_y = truth.positions(number[str(name)])
    distance = np.hypot(
        (a * x + b * y + tx)[:, None] - star_x, (c * x + d * y + ty)[:, None] - star_y
    )
    flux = np.where(distance < MATCH_PIX, truth.stars.flux_e, 0.0)
    brightest = flux.argmax(axis=1)
    found = flux.max(axis=1) > 0.0
    return {int(s): int(b) for s, b, f in zip(source, brightest, found, strict=True) if f}
