"""Maps fitted to pairs of stars: a similarity, or a full affine map."""

import math
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.pairs import MIN_STARS, StarPairs
from tianyu.pipelines.science.quantiles import median_of
from tianyu.pipelines.science.transform import AffineTransform

MIN_STARS_AFFINE = 12
"""An affine map has six parameters; with fewer stars it follows their errors."""

CLIP_SIGMA = 4.0
"""Loses one good star in 3000 (Rayleigh), and the blends that pull the fit."""

CLIP_ROUNDS = 5
"""Of leaving out stars; mostly two are enough."""

RAYLEIGH_MEDIAN = math.sqrt(2.0 * math.log(2.0))
"""Of the length of a 2-d residual, in σ of one axis."""

_TINY = 1e-12  # keeps the logarithm of the residuals of noiseless stars finite


@dataclass(frozen=True)
class MapFit:
    """A map and how well it fits.

    Attributes
    ----------
    transform : AffineTransform
        Map of reference pixels to pixels of the frame.
    pairs : StarPairs
        Those that it was fitted to.
    rms_pix : float
        Their weighted rms distance from it, pixels (both axes together).
    criterion : float
        Of Schwarz: the lower of two maps fitted to the same pairs is the better one.
    """

    transform: AffineTransform
    pairs: StarPairs
    rms_pix: float
    criterion: float


def fit_map(pairs: StarPairs, *, affine: bool, clip: bool = True) -> MapFit:
    """Fit by weighted least squares, repeated without the stars that do not belong.

    Parameters
    ----------
    pairs : StarPairs
        At least four.
    affine : bool
        Six parameters; else the four of a similarity: shift, rotation, scale.
    clip : bool, optional
        Whether to leave out stars at all; never so many that too few are left.

    Returns
    -------
    MapFit
        With the pairs that were kept.
    """
    solve, minimum = (_solve_affine, MIN_STARS_AFFINE) if affine else (_solve_similarity, MIN_STARS)
    keep = np.ones(len(pairs), dtype=np.bool_)
    for _ in range(CLIP_ROUNDS if clip else 1):
        transform = solve(pairs[keep])
        x, y = transform.apply(pairs.z.real, pairs.z.imag)
        residual = np.sqrt(pairs.weight) * np.abs(x + 1j * y - pairs.target)
        # In units of the stated errors, which are believed unless the stars scatter by more.
        scatter = max(1.0, median_of(residual[keep]) / RAYLEIGH_MEDIAN)
        better = residual <= CLIP_SIGMA * scatter
        if not clip or better.sum() < minimum or np.array_equal(better, keep):
            break
        keep = better
    return judged(transform, pairs[keep], float(np.sum(residual[keep] ** 2)), affine=affine)


def judged(transform: AffineTransform, pairs: StarPairs, sum2: float, *, affine: bool) -> MapFit:
    """Return a map with the judgement of how well it fits.

    Parameters
    ----------
    transform : AffineTransform
    pairs : StarPairs
        Those that it was fitted to.
    sum2 : float
        Sum of the squares of their residuals, each in units of its error.
    affine : bool
        Whether it has six parameters, else four.
    """
    n_values = 2 * len(pairs)
    deviance = n_values * math.log(sum2 / n_values + _TINY)
    criterion = deviance + (6 if affine else 4) * math.log(n_values)
    rms_pix = math.sqrt(sum2 / float(pairs.weight.sum()))
    return MapFit(transform, pairs, rms_pix, criterion)


def _solve_similarity(pairs: StarPairs) -> AffineTransform:
    """Solve in closed form on the complex plane: ``α·z + τ`` turns by arg α and scales by |α|."""
    weight = pairs.weight / pairs.weight.sum()
    z0, target0 = weight @ pairs.z, weight @ pairs.target
    z = pairs.z - z0
    alpha = complex((weight * z.conj()) @ (pairs.target - target0) / (weight @ np.abs(z) ** 2))
    tau = complex(target0 - alpha * z0)
    return AffineTransform(alpha.real, -alpha.imag, alpha.imag, alpha.real, tau.real, tau.imag)


def _solve_affine(pairs: StarPairs) -> AffineTransform:
    """Six parameters by linear least squares, about the centre for the sake of conditioning."""
    z0 = complex(pairs.weight @ pairs.z / pairs.weight.sum())
    z, root = pairs.z - z0, np.sqrt(pairs.weight)[:, np.newaxis]
    design = root * np.column_stack([z.real, z.imag, np.ones(len(z))])
    values = root * np.column_stack([pairs.target.real, pairs.target.imag])
    (a, c), (b, d), (tx, ty) = np.linalg.lstsq(design, values)[0].tolist()
    return AffineTransform(
        a, b, c, d, tx - a * z0.real - b * z0.imag, ty - c * z0.real - d * z0.imag
    )
