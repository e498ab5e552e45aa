"""Opponent: the night as a competent astronomer writes it with astropy and SEP, through files.

Every product is a FITS file, as in the published system: calibrated frames are written, and read
again to find stars, to stack and to measure. Nothing is done badly on purpose, and nothing is
tuned.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sep
from astropy.io import fits
from numpy.typing import NDArray
from tests.benchmarks.metering import Cost, metered
from tests.benchmarks.plain_masters import FloatImage, PlainMasters

MESH_PIX = 64
THRESHOLD_SIGMA = 5.0
VOTERS = 500
"""Brightest stars whose coordinate differences are counted for the shift."""
FAN_OUT = 5
N_SOURCES = 900
RADII_PIX = (3.0, 4.5, 6.0)
ANNULUS_PIX = (12.0, 20.0)

Table = NDArray[np.float64]


@dataclass(frozen=True)
class Reduction:
    """Costs by stage, and what was found."""

    costs: dict[str, Cost]
    shifts: list[tuple[int, int]]
    fluxes: NDArray[np.float64]
    """Shape (n_frame, n_source, n_radius)."""

    @property
    def total(self) -> Cost:
        """Sum of the stages."""
        total = Cost()
        for cost in self.costs.values():
            total.add(cost)
        return total


def reduce_night(lights: list[Path], masters: PlainMasters, out: Path) -> Reduction:
    """Calibrate, align, stack, detect and measure; products go to a folder."""
    out.mkdir(parents=True, exist_ok=True)
    costs: dict[str, Cost] = {}
    calibrated = [out / f"calibrated_{path.name}" for path in lights]
    with metered() as costs["calibrate"]:
        for raw, path in zip(lights, calibrated, strict=True):
            calibrate(raw, path, masters)
    with metered() as costs["align"]:
        stars = [find_stars(fits.getdata(path)) for path in calibrated]
        shifts = [find_shift(stars[0], of_frame) for of_frame in stars]
    with metered() as costs["stack"]:
        template = stack_tree(calibrated, shifts, out)
    with metered() as costs["detect"]:
        sources = brightest(find_stars(fits.getdata(template)), N_SOURCES)
    with metered() as costs["measure"]:
        fluxes = [
            measure(fits.getdata(path), sources + shift)
            for path, shift in zip(calibrated, shifts, strict=True)
        ]
    return Reduction(costs, shifts, np.array(fluxes))


def calibrate(raw: Path, path: Path, masters: PlainMasters) -> None:
    """Write (raw − dark) / flat − sky."""
    pixels = masters.calibrate(fits.getdata(raw))
    pixels -= sep.Background(pixels, bw=MESH_PIX, bh=MESH_PIX).back()
    fits.writeto(path, pixels, fits.getheader(raw), overwrite=True)


def find_stars(stored: NDArray[np.float32], threshold_sigma: float = THRESHOLD_SIGMA) -> Table:
    """Return x, y and flux of what stands 5σ above the sky, brightest first."""
    pixels = native(stored)
    found = sep.extract(pixels, threshold_sigma, err=float(1.4826 * median_deviation(pixels)))
    order = np.argsort(-found["flux"])
    return np.column_stack([found[name][order] for name in ("x", "y", "flux")])


def median_deviation(pixels: FloatImage) -> float:
    """Median absolute value of a sky-subtracted frame, of every 16th row."""
    return float(np.median(np.abs(pixels[::16])))


def find_shift(reference: Table, frame: Table) -> tuple[int, int]:
    """Return the most frequent coordinate difference on each axis, pixels (equation 2)."""
    a, b = reference[:VOTERS], frame[:VOTERS]
    dx, dy = (_mode(np.rint(b[None, :, axis] - a[:, None, axis])) for axis in (0, 1))
    return dx, dy


def _mode(differences: Table) -> int:
    values, counts = np.unique(differences, return_counts=True)
    return int(values[np.argmax(counts)])


def stack_tree(paths: list[Path], shifts: list[tuple[int, int]], out: Path) -> Path:
    """Average shifted frames five at a time, and those averages, until one is left."""
    level, weights = 0, [1.0] * len(paths)
    while len(paths) > 1:
        nodes, node_weights = [], []
        for start in range(0, len(paths), FAN_OUT):
            part = slice(start, start + FAN_OUT)
            node = out / f"stack_{level}_{start // FAN_OUT:04d}.fits"
            fits.writeto(node, average(paths[part], shifts[part], weights[part]), overwrite=True)
            nodes.append(node)
            node_weights.append(sum(weights[part]))
        paths, weights, shifts, level = nodes, node_weights, [(0, 0)] * len(nodes), level + 1
    return paths[0]


def average(
    paths: list[Path], shifts: list[tuple[int, int]], weights: list[float]
) -> NDArray[np.float32]:
    """Average images, each moved back by its shift; pixels that none covers are zero."""
    shape = fits.getdata(paths[0]).shape
    total, weight = np.zeros(shape), np.zeros(shape)
    for path, (dx, dy), w in zip(paths, shifts, weights, strict=True):
        pixels = native(fits.getdata(path))
        here, there = _overlap(shape, dx, dy)
        total[here] += w * pixels[there]
        weight[here] += w
    mean: NDArray[np.float32] = (total / np.maximum(weight, 1e-9)).astype(np.float32)
    return mean


def _overlap(shape: tuple[int, ...], dx: int, dy: int) -> tuple[tuple[slice, ...], ...]:
    """Return the pixels of the reference that a shifted frame covers, and those of the frame."""
    shifts = (dy, dx)
    here = tuple(slice(max(0, -d), n - max(0, d)) for n, d in zip(shape, shifts, strict=True))
    there = tuple(slice(max(0, d), n - max(0, -d)) for n, d in zip(shape, shifts, strict=True))
    return here, there


def brightest(stars: Table, n: int) -> Table:
    """Return positions of the brightest stars, shape (n, 2)."""
    return stars[:n, :2]


def measure(stored: NDArray[np.float32], positions: Table) -> NDArray[np.float64]:
    """Return fluxes of all positions in three radii over a local background."""
    pixels = native(stored)
    x, y = positions[:, 0], positions[:, 1]
    fluxes = [
        sep.sum_circle(pixels, x, y, radius, bkgann=ANNULUS_PIX, subpix=0)[0]
        for radius in RADII_PIX
    ]
    return np.stack(fluxes, axis=1)


def native(stored: NDArray[np.float32]) -> FloatImage:
    """Return pixels in the byte order of the machine: FITS has the other one, SEP refuses it."""
    return np.ascontiguousarray(stored, dtype=np.float32)
