"""What each method does to the precision: one real night, one thing changed at a time.

Run it with ``python -m tests.benchmarks.hatp32_methods``; it needs the real frames. Columns: the
scatter of the transit's residuals from a trapezoid with a linear trend, and the median robust
scatter of the 275 brightest constant stars by thirds of brightness. A tie is about 6 % in the first
and 2 % in the others.
"""

import sqlite3
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from tests.acceptance.realdata import real_data
from typer.testing import CliRunner

from tianyu.cli.main import app
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.scatter import mad_sigma
from tianyu.pipelines.science.trapezoid import fit_trapezoid

HATP32 = [
    "--target", "HAT-P-32", "--target-pixel", "328.5,337.6@HATP-32171220041512",
    "--ra", "31.042825", "--dec", "46.687837",
    "--site-lat", "31.68", "--site-lon", "-110.88", "--site-alt", "2000",
]  # fmt: skip

VARIANTS = {
    "default": [],
    "without the fixed pattern": ["fixed_pattern.max_frames=0"],
    "radii in units of each frame's FWHM": ["extract_flux.follow_fwhm=true"],
    "pruned groups, as published": ["relative_photometry.method=groups"],
    "groups, without the fixed pattern": [
        "relative_photometry.method=groups",
        "fixed_pattern.max_frames=0",
    ],
}
STARS = 275
UNUSABLE = int(FluxFlag.SATURATED | FluxFlag.OFF_FRAME | FluxFlag.NEAR_EDGE)


@dataclass(frozen=True)
class Precision:
    """Scatter in per cent."""

    transit: float
    thirds: tuple[float, float, float]


def main() -> int:
    """Reduce the night in every way and print the table."""
    frames = real_data("hatp32")
    table = Table(
        "method", "transit", "bright third", "middle", "faint", title="HAT-P-32, scatter in %"
    )
    with tempfile.TemporaryDirectory(prefix="tianyu-methods-") as folder:
        for name, settings in VARIANTS.items():
            run = reduce(frames, Path(folder), settings)
            for label, found in measure(Path(folder) / "tianyu.sqlite", run, name).items():
                table.add_row(label, f"{found.transit:.3f}", *(f"{v:.2f}" for v in found.thirds))
    Console(width=100).print(table)
    return 0


def reduce(frames: Path, out: Path, settings: list[str]) -> int:
    """Reduce the night into the folder; return the run's number. What is the same is reused."""
    options = [option for setting in settings for option in ("--set", setting)]
    answer = CliRunner().invoke(app, ["reduce", str(frames), "--out", str(out), *HATP32, *options])
    if answer.exit_code:
        raise RuntimeError(answer.output)
    with sqlite3.connect(out / "tianyu.sqlite") as database:
        return int(database.execute("SELECT MAX(run_id) FROM reduction").fetchone()[0])


def measure(database: Path, run: int, name: str) -> dict[str, Precision]:
    """Return the precision in the chosen radii; for the default also in one radius for all."""
    with sqlite3.connect(database) as connection:
        stars = Stars.read(connection, run)
    found = {name: stars.precision(stars.chosen)}
    if name == "default":
        for aperture, radius in stars.radii.items():
            everywhere = np.full(len(stars.chosen), aperture)
            found[f"{radius:.1f} px for all stars"] = stars.precision(everywhere)
    return found


@dataclass(frozen=True, eq=False)
class Stars:
    """Light curves of one run: sources by brightness, apertures, good frames in time."""

    radii: dict[int, float]
    chosen: NDArray[np.int64]
    """Shape (n_source,): the aperture chosen for each."""
    target: int
    time: NDArray[np.float64]
    flux: NDArray[np.float64]
    """Shape (n_aperture, n_source, n_frame); NaN where not to be used."""
    error: NDArray[np.float64]

    @staticmethod
    def read(db: sqlite3.Connection, run: int) -> "Stars":
        """Read them."""
        radii = dict(
            db.execute("SELECT aperture, radius_pix FROM aperture WHERE run_id = ?", (run,))
        )
        sources = db.execute(
            "SELECT p.source_id, p.default_aperture, t.name FROM source_photometry p "
            "JOIN source s ON s.id = p.source_id LEFT JOIN target t ON t.id = s.target_id "
            "WHERE run_id = ? AND mean_flux > 0 ORDER BY mean_flux DESC",
            (run,),
        ).fetchall()
        frames = db.execute(
            "SELECT f.image_id, f.bjd_tdb_mid FROM frame f JOIN frame_verdict v USING (run_id, "
            "image_id) WHERE run_id = ? AND v.is_good = 1 ORDER BY 2",
            (run,),
        ).fetchall()
        row = {source: i for i, (source, *_) in enumerate(sources)}
        column = {image: i for i, (image, _) in enumerate(frames)}
        flux = np.full((len(radii), len(sources), len(frames)), np.nan)
        error = flux.copy()
        for source, image, aperture, value, sigma, flags in db.execute(
            "SELECT r.source_id, r.image_id, r.aperture, r.relative_flux, r.relative_flux_error, "
            "f.flags FROM relative_flux r JOIN flux f USING (run_id, source_id, image_id, aperture)"
            " WHERE run_id = ?",
            (run,),
        ):
            if source in row and image in column and not flags & UNUSABLE and value is not None:
                flux[aperture, row[source], column[image]] = value
                error[aperture, row[source], column[image]] = sigma
        names = [name for *_, name in sources]
        return Stars(
            radii=radii,
            chosen=np.array([aperture for _, aperture, _ in sources]),
            target=names.index("HAT-P-32"),
            time=np.array([time for _, time in frames]),
            flux=flux,
            error=error,
        )

    def precision(self, apertures: NDArray[np.int64]) -> Precision:
        """Return the precision with an aperture for each source."""
        index = np.arange(len(apertures))
        flux, error = self.flux[apertures, index], self.error[apertures, index]
        whole = np.isfinite(flux).mean(axis=1) > 0.95
        whole[self.target] = False
        brightest = flux[whole][:STARS]
        scatter = mad_sigma(brightest)
        thirds = [100.0 * float(np.median(part)) for part in np.array_split(scatter, 3)]
        used = np.isfinite(flux[self.target])
        fit = fit_trapezoid(
            self.time[used] - self.time[0],
            flux[self.target][used],
            error[self.target][used],
            clip_sigma=5.0,
        )
        return Precision(100.0 * fit.residual_scatter, (thirds[0], thirds[1], thirds[2]))


if __name__ == "__main__":
    sys.exit(main())
