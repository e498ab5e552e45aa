"""Choosing stars of a reduced night, and writing its frames again with events in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from astropy.io import fits
from sqlalchemy import Connection, select

from tianyu.cli.queries.run_curves import RunCurves
from tianyu.pipelines.fits.hdus import choose_image, scan_hdus
from tianyu.pipelines.fits.pixels import read_pixels
from tianyu.pipelines.fits.streams import open_fits
from tianyu.pipelines.science.arrays import AnyArray, FloatArray, IntArray
from tianyu.pipelines.science.injection import Disc, dim_stars
from tianyu.pipelines.science.scatter import mad_sigma
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.simulation.signals import Eclipse, Pulsation, Signal, Transit
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.paths import resolve
from tianyu.schema.tables import Frame, Image, ImageCopy, Observation, Reduction, Site

DISC_FWHM = 4.0
"""Radius that is dimmed: where the annulus of the photometry begins."""
SKY_FWHM = (4.0, 7.0)
MAX_BLEND = 0.05
"""Light of other sources in the disc, relative to the star: they are dimmed with it."""
MAX_WEIGHT = 0.05
"""Of all stars' inverse variances, that stars with signals may hold: they are references of the
others, and of each other. With a quarter of it the depths came out a fifth too small."""
EDGE_FRACTION = 0.9
"""Of the frames in which a star must have been measured without a bad flag."""
COMPRESSED = (".fz", ".gz", ".bz2")


class SignalKind(StrEnum):
    """What is injected."""

    TRANSIT = "transit"
    ECLIPSE = "eclipse"
    PULSATION = "pulsation"


@dataclass(frozen=True)
class InjectionPlan:
    """What is to be injected.

    Attributes
    ----------
    kinds : tuple of SignalKind
    sizes : tuple of float
        Depths; half ranges in magnitudes for pulsations.
    lengths_h : tuple of float
        Durations; periods for pulsations.
    n_star : int
        Stars per round; each gets one signal.
    seed : int
    """

    kinds: tuple[SignalKind, ...]
    sizes: tuple[float, ...]
    lengths_h: tuple[float, ...]
    n_star: int
    seed: int
    max_scatter: float
    """Noisier stars are not chosen; standard deviation, relative."""


@dataclass(frozen=True)
class NightFrame:
    """One light frame of a run, its file, and where the sources are in it."""

    name: str
    path: Path
    bjd: float
    transform: AffineTransform


def read_night(connection: Connection, run: int) -> tuple[list[NightFrame], list[Path]]:
    """Return the aligned light frames of a run in time, and its site's calibration frames.

    Raises
    ------
    ConfigurationError
        If a file is not within reach, or no time is known.
    """
    copies = (
        select(Image.name, Image.kind, ImageCopy.path, Site.root)
        .join(ImageCopy, ImageCopy.image_id == Image.id)
        .join(Site, Site.id == ImageCopy.site_id)
    )
    lights = copies.add_columns(Frame.__table__).join(Frame, Frame.image_id == Image.id)
    frames = {}
    for row in connection.execute(
        lights.where(Frame.run_id == run, Frame.is_aligned.is_(True)).order_by(Frame.jd_utc_mid)
    ):
        time = row.bjd_tdb_mid if row.bjd_tdb_mid is not None else row.jd_utc_mid
        if time is None:
            raise ConfigurationError(
                f"the time of {row.name} is not known; nothing can be injected"
            )
        transform = AffineTransform(row.a, row.b, row.c, row.d, row.tx, row.ty)
        path = _reachable(row.root, row.path, row.name)
        frames[row.name] = NightFrame(row.name, path, float(time), transform)
    instrument = (
        select(Observation.instrument_id)
        .join(Reduction, Reduction.observation_id == Observation.id)
        .where(Reduction.run_id == run)
        .scalar_subquery()
    )
    masters = copies.join(Observation, Observation.id == Image.observation_id).where(
        Image.kind.in_(("bias", "dark", "flat")), Observation.instrument_id == instrument
    )
    calibration = {
        row.name: _reachable(row.root, row.path, row.name) for row in connection.execute(masters)
    }
    return list(frames.values()), list(calibration.values())


def _reachable(root: str, relative: str, name: str) -> Path:
    path = resolve(Path(root), relative)
    if not path.is_file():
        raise ConfigurationError(f"the file of {name} is not within reach of this machine: {path}")
    return path


def choose_stars(
    curves: RunCurves,
    n: int,
    disc: Disc,
    excluded: Sequence[int],
    max_scatter: float,
    rng: np.random.Generator,
) -> IntArray:
    """Choose quiet, unblended stars of all brightnesses that stay apart from each other.

    Together they hold at most :data:`MAX_WEIGHT` of the night's weight.

    Parameters
    ----------
    curves : RunCurves
    n : int
    disc : Disc
        Discs must not touch.
    excluded : sequence of int
        Rows of stars that vary already, or are to be left alone.
    max_scatter : float
        Robust, of the relative flux.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of int, shape (≤ n,)
        Rows of the curves, brightest first.
    """
    suited = np.isfinite(curves.flux).mean(axis=1) >= EDGE_FRACTION
    suited &= np.nan_to_num(mad_sigma(curves.flux), nan=np.inf) < max_scatter
    suited &= (curves.mean_flux > 0) & (_blend(curves, disc.radius) < MAX_BLEND)
    suited[list(excluded)] = False
    rows = np.flatnonzero(suited)
    rows = rows[np.argsort(-curves.mean_flux[rows])]
    weight = _weights(curves)
    chosen: list[int] = []
    # One of each stretch of brightness, in any order: the brightest must not use up the weight.
    stretches = np.array_split(rows, min(n, len(rows)) or 1)
    for number in rng.permutation(len(stretches)):
        stretch = stretches[int(number)]
        for i in rng.permutation(stretch):
            apart = [np.hypot(curves.x[i] - curves.x[j], curves.y[i] - curves.y[j]) for j in chosen]
            is_apart = not apart or min(apart) > disc.radius + disc.sky_outer
            if is_apart and weight[[*chosen, i]].sum() <= MAX_WEIGHT:
                chosen.append(int(i))
                break
    return np.array(sorted(chosen, key=lambda i: -curves.mean_flux[i]), dtype=np.int64)


def _weights(curves: RunCurves) -> FloatArray:
    """Return each star's part of the inverse variances of all, shape (n_source,)."""
    scatter = mad_sigma(curves.flux)
    known = np.isfinite(scatter) & (scatter > 0)
    inverse = np.where(known, 1.0 / np.where(known, scatter, 1.0) ** 2, 0.0)
    return np.asarray(inverse / max(float(inverse.sum()), 1e-300))


def _blend(curves: RunCurves, radius: float) -> FloatArray:
    distance = np.hypot(curves.x - curves.x[:, None], curves.y - curves.y[:, None])
    light = np.where((distance < radius) & (distance > 0), np.fmax(curves.mean_flux, 0.0), 0.0)
    return np.asarray(light.sum(axis=1) / np.where(curves.mean_flux > 0, curves.mean_flux, np.nan))


def draw_signals(
    plan: InjectionPlan, stars: IntArray, time: FloatArray, rng: np.random.Generator
) -> list[Signal]:
    """Give each star one signal; kinds, sizes and lengths go round, so that bins fill evenly.

    Events lie within the night with half a duration on each side.

    Raises
    ------
    ConfigurationError
        If an event does not fit into the night.
    """
    cases = [(k, s, h) for s in plan.sizes for h in plan.lengths_h for k in plan.kinds]
    first, last = float(time[0]), float(time[-1])
    order = np.concatenate(
        [rng.permutation(len(cases)) for _ in range(len(stars) // len(cases) + 1)]
    )
    signals: list[Signal] = []
    for star, case in zip(stars, order, strict=False):
        kind, size, hours = cases[int(case)]
        days = hours / 24.0
        if kind is not SignalKind.PULSATION and 2.0 * days > last - first:
            raise ConfigurationError(
                f"an event of {hours:g} h leaves nothing of a night of {24 * (last - first):.1f} h "
                "to compare it with; give shorter ones"
            )
        mid = float(rng.uniform(first + days, last - days)) if 2.0 * days < last - first else first
        if kind is SignalKind.TRANSIT:
            signals.append(Transit(int(star), mid, days, size))
        elif kind is SignalKind.ECLIPSE:
            signals.append(Eclipse(int(star), mid, days, size))
        else:
            signals.append(
                Pulsation(int(star), float(rng.uniform(first, first + days)), days, size)
            )
    return signals


def dimming(signal: Signal, time: FloatArray) -> FloatArray:
    """Return the factor of a star's light at each time, relative to its brightest: at most 1."""
    factor = signal.relative_flux(time)
    if isinstance(signal, Pulsation):
        factor = factor / 10.0 ** (0.4 * signal.amplitude_mag)
    return np.clip(factor, 0.0, 1.0)


def write_injected(
    frames: Sequence[NightFrame],
    curves: RunCurves,
    signals: Sequence[Signal],
    disc: Disc,
    folder: Path,
    *,
    gain_e_per_adu: float | None,
    seed: int,
    progress: Callable[[int, int], None],
) -> None:
    """Write every frame again, with its signals, as plain FITS under its name."""
    folder.mkdir(parents=True, exist_ok=True)
    stars = np.array([signal.star for signal in signals], dtype=np.int64)
    time = np.array([frame.bjd for frame in frames])
    factor = np.stack([dimming(signal, time) for signal in signals], axis=1)
    for i, frame in enumerate(frames):
        x, y = frame.transform.apply(curves.x[stars], curves.y[stars])
        pixels = dim_stars(
            read_pixels(frame.path), x, y, factor[i], disc,
            gain_e_per_adu=gain_e_per_adu, rng=np.random.default_rng([seed, i]),
        )  # fmt: skip
        _write(pixels, frame.path, folder / plain_name(frame.name))
        progress(i + 1, len(frames))


def plain_name(name: str) -> str:
    """Return the name of a frame without the ending of its compression.

    >>> plain_name("night_0001.fits.fz")
    'night_0001.fits'
    """
    path = Path(name)
    return path.stem if path.suffix.lower() in COMPRESSED else name


def _write(pixels: AnyArray, original: Path, path: Path) -> None:
    """Write pixels with the header of the original; scaling is written anew."""
    with open_fits(original) as stream:
        number = choose_image(scan_hdus(stream), name=stream.name).index
    with fits.open(original, memmap=False) as hdus:
        header = hdus[number].header.copy()
    for keyword in ("BZERO", "BSCALE", "BLANK", "CHECKSUM", "DATASUM", "EXTNAME"):
        header.remove(keyword, ignore_missing=True, remove_all=True)
    header["HISTORY"] = "Stars of this frame carry injected signals; it is no observation."
    fits.PrimaryHDU(pixels, header).writeto(path, overwrite=True, output_verify="silentfix")
