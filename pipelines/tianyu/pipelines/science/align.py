"""Align a frame to the reference frame: from a shift to matched stars to an affine map.

::

    votes for a shift ─► match ─► robust similarity ─► match closer ─► … ─► affine, if justified
     as it is, turned by 180°, then turned and scaled a little
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import FloatArray, IntArray
from tianyu.pipelines.science.shift import BIN_PIX, MAX_BINS_PER_AXIS, find_shift
from tianyu.pipelines.science.stars import StarList
from tianyu.pipelines.science.transform import AffineTransform

MIN_STARS = 4
"""Fewer stars than this give no shift that chance would not give as well."""
STARS_FOR_SHIFT = 100
"""Brightest stars that vote: safe when half are lost in each list, and 10⁴ pairs are cheap."""
MIN_STARS_AFFINE = 12
"""An affine map has six parameters; with fewer stars it follows their errors."""
MAX_ROTATION_DEG = 3.0
"""Rotation sought when a plain shift fails; the errors of a mount stay far below."""
SCALES = (1.0, 0.99, 1.01)
"""Scales sought then: focus and temperature change the scale by less than a percent."""
MAX_SCALE_CHANGE = 0.03
"""A fit that stretches the field by more has matched the wrong stars."""
MAX_RESIDUAL_PIX = 1.0
"""Matched stars scatter by tenths of a pixel; more means that they are not the same stars."""
BRIGHT_FOR_TRANSPARENCY = 50
"""Brightest matched stars whose fluxes are compared; fainter ones only add noise."""

_CLIP_SIGMA = 4.0  # loses one good star in 3000 (Rayleigh), and the blends that pull the fit
_CLIP_ROUNDS = 5
_RAYLEIGH_MEDIAN = math.sqrt(2.0 * math.log(2.0))  # of a 2-d residual, in σ of one axis
_MIN_RADIUS_PIX = 0.5  # below, the noisy centroids of true pairs would be lost
_MATCH_ROUNDS = 15
_FLOOR_PIX = 0.02  # pixel phase, distortion, turbulence: what bright stars show on real frames
_TINY = 1e-12  # keeps the logarithm of the residuals of noiseless stars finite

ComplexArray: TypeAlias = NDArray[np.complex128]
"""Positions as ``x + iy``, shape ``(n,)``: a similarity is then one product and one sum."""


class AlignmentError(UnusableDataError):
    """A frame cannot be aligned to its reference; the text says why."""


@dataclass(frozen=True)
class Alignment:
    """How a frame lies on its reference frame.

    Parameters
    ----------
    transform : AffineTransform
        Map of reference pixels to pixels of the frame *as it is stored*, flip included.
    n_matched : int
        Stars that the map was fitted to.
    residual_rms_pix : float
        Weighted rms distance of those stars from the map, pixels (both axes together).
    transparency : float
        Median of frame flux over reference flux of the brightest matched stars, per unit of
        exposure time.
    flipped : bool
        Whether the frame is turned by 180° (after a meridian flip).
    shape : tuple of int
        ``(ny, nx)`` of the frame, pixels.
    """

    transform: AffineTransform
    n_matched: int
    residual_rms_pix: float
    transparency: float
    flipped: bool
    shape: tuple[int, int]

    @property
    def upright(self) -> AffineTransform:
        """Map to the frame's array after it was reversed on both axes, if it is flipped.

        Stacks use this map; it is near a pure shift.
        """
        return _half_turn(self.shape).compose(self.transform) if self.flipped else self.transform

    @property
    def whole_pixel_shift(self) -> tuple[int, int]:
        """Shift ``(dx, dy)`` of the field's centre under :attr:`upright`, rounded to pixels."""
        x, y = (np.array([0.5 * (n - 1)]) for n in self.shape[::-1])
        moved_x, moved_y = self.upright.apply(x, y)
        return round(float(moved_x[0] - x[0])), round(float(moved_y[0] - y[0]))


def align(
    reference: StarList,
    frame: StarList,
    shape: tuple[int, int],
    *,
    exposure_ratio: float = 1.0,
    max_shift_pix: float | None = None,
    max_residual_pix: float = MAX_RESIDUAL_PIX,
) -> Alignment:
    """Find the map from the reference's pixels to the frame's.

    Parameters
    ----------
    reference, frame : StarList
        Stars of both, brightest first.
    shape : tuple of int
        ``(ny, nx)`` of the frame, pixels.
    exposure_ratio : float, optional
        Exposure time of the frame over that of the reference; 1 when fluxes are per second.
    max_shift_pix : float, optional
        Largest shift sought on each axis; by default any.
    max_residual_pix : float, optional
        Residual rms above which the fit is refused.

    Returns
    -------
    Alignment
        With the similarity (shift, rotation, scale) that fits the matched stars, or the full
        affine map when twelve stars or more ask for it by Schwarz' criterion.

    Raises
    ------
    AlignmentError
        If there are too few stars, no shift stands out from chance, or the fit is too bad.
    ValueError
        If ``exposure_ratio`` is not positive.

    Notes
    -----
    Pairs vote for a shift of the frame as it is, then turned by 180°, and only then for small
    rotations and scales, in steps that keep the corner stars in the bin of the others. Stars
    are weighted by their inverse variance, the noise of the sky in both frames plus a floor.
    """
    if not exposure_ratio > 0.0:
        raise ValueError(f"exposure_ratio must be positive, got {exposure_ratio}")
    for name, stars in (("reference", reference), ("frame", frame)):
        if stars.count < MIN_STARS:
            raise AlignmentError(f"the {name} has {stars.count} stars, {MIN_STARS} are needed")
    reasons = []
    for trial, n_stars in _trials(shape):
        try:
            start = _vote(
                reference.brightest(n_stars), frame.brightest(n_stars), trial, max_shift_pix
            )
            fit = _refine(reference, frame, start, 2.0 * _bin_pix(shape))
            _check(fit, max_residual_pix)
        except AlignmentError as error:
            reasons.append(str(error))
            continue
        return Alignment(
            transform=fit.transform,
            n_matched=len(fit.pairs.i),
            residual_rms_pix=fit.rms_pix,
            transparency=_transparency(reference, frame, fit.pairs) / exposure_ratio,
            flipped=abs(fit.transform.rotation_deg) > 90.0,
            shape=shape,
        )
    raise AlignmentError(reasons[0])


@dataclass(frozen=True)
class _Pairs:
    """Matched stars: indices into both lists, positions in both, inverse variances (pix⁻²)."""

    i: IntArray
    j: IntArray
    z: ComplexArray
    target: ComplexArray
    weight: FloatArray

    def __getitem__(self, keep: NDArray[Any]) -> "_Pairs":
        return _Pairs(
            self.i[keep], self.j[keep], self.z[keep], self.target[keep], self.weight[keep]
        )


@dataclass(frozen=True)
class _Fit:
    """A map, the pairs that it was fitted to, and their residual."""

    transform: AffineTransform
    pairs: _Pairs
    rms_pix: float
    criterion: float


def _bin_pix(shape: tuple[int, int]) -> float:
    """Width of the bins of shifts on a field of this size."""
    return max(BIN_PIX, 2.0 * max(shape) / MAX_BINS_PER_AXIS)


def _half_turn(shape: tuple[int, int]) -> AffineTransform:
    return AffineTransform(a=-1.0, d=-1.0, tx=shape[1] - 1.0, ty=shape[0] - 1.0)


def _trials(shape: tuple[int, int]) -> Iterator[tuple[AffineTransform, int]]:
    """Yield maps to try before voting, likeliest first, and the number of stars that vote."""
    poses = (AffineTransform.identity(), _half_turn(shape))
    everything = 10 * STARS_FOR_SHIFT
    yield from ((pose, n_stars) for n_stars in (STARS_FOR_SHIFT, everything) for pose in poses)
    step = 2.0 * _bin_pix(shape) / (0.5 * math.hypot(*shape))
    n_steps = math.ceil(math.radians(MAX_ROTATION_DEG) / step)
    for pose in poses:
        for k in sorted(range(-n_steps, n_steps + 1), key=abs):
            for scale in SCALES:
                yield pose.compose(_turn(shape, k * step, scale)), everything


def _turn(shape: tuple[int, int], angle_rad: float, scale: float) -> AffineTransform:
    """Rotation and scale about the centre of the field."""
    y, x = (0.5 * (n - 1) for n in shape)
    cos, sin = scale * math.cos(angle_rad), scale * math.sin(angle_rad)
    return AffineTransform(cos, -sin, sin, cos, x - cos * x + sin * y, y - sin * x - cos * y)


def _vote(
    reference: StarList, frame: StarList, trial: AffineTransform, max_shift_pix: float | None
) -> AffineTransform:
    """Return the trial map, shifted to where most pairs agree."""
    turned = np.column_stack(trial.apply(reference.x, reference.y))
    shift = find_shift(turned, frame.xy, max_shift_pix=max_shift_pix)
    if not shift.is_significant:
        raise AlignmentError(
            f"no significant shift between {reference.count} stars of the reference and "
            f"{frame.count} of the frame: {shift.votes} pairs agree at best, chance gives "
            f"{shift.expected:.1f}; is it the same field?"
        )
    return AffineTransform.translation(shift.dx, shift.dy).compose(trial)


def _refine(
    reference: StarList, frame: StarList, start: AffineTransform, radius_pix: float
) -> _Fit:
    """Match and fit in turn, the radius of the match following the residuals."""
    tree = cKDTree(frame.xy)
    transform, affine = start, False
    for _ in range(_MATCH_ROUNDS):
        pairs = _match(reference, frame, tree, transform, radius_pix)
        fit = _fit(pairs, affine=affine)
        wanted = max(_MIN_RADIUS_PIX, 3.0 * _CLIP_SIGMA * fit.rms_pix)
        if fit.transform == transform and wanted >= radius_pix:
            break
        transform, radius_pix = fit.transform, min(radius_pix, max(wanted, 0.25 * radius_pix))
        if not affine and wanted >= radius_pix and len(fit.pairs.i) >= MIN_STARS_AFFINE:
            full = _fit(pairs, affine=True)
            same = _fit(full.pairs, affine=False, clip=False)
            affine = full.criterion < same.criterion
    return fit


def _match(
    reference: StarList,
    frame: StarList,
    tree: "cKDTree[None]",
    transform: AffineTransform,
    radius_pix: float,
) -> _Pairs:
    """Pair the closest stars; every star of either list is in one pair at most."""
    predicted = np.column_stack(transform.apply(reference.x, reference.y))
    distance, nearest = tree.query(predicted, distance_upper_bound=radius_pix)
    order = np.argsort(distance, kind="stable")[: np.count_nonzero(np.isfinite(distance))]
    j, first = np.unique(np.asarray(nearest)[order], return_index=True)
    i = order[first]
    if len(i) < MIN_STARS:
        raise AlignmentError(
            f"only {len(i)} stars match within {radius_pix:.1f} px, {MIN_STARS} are needed"
        )
    variance = _FLOOR_PIX**2 + reference.error_pix[i] ** 2 + frame.error_pix[j] ** 2
    z, target = reference.x[i] + 1j * reference.y[i], frame.x[j] + 1j * frame.y[j]
    return _Pairs(i, j, z, target, 1.0 / variance)


def _fit(pairs: _Pairs, *, affine: bool, clip: bool = True) -> _Fit:
    """Weighted least squares, repeated without the stars that do not belong."""
    solve, minimum = (_solve_affine, MIN_STARS_AFFINE) if affine else (_solve_similarity, MIN_STARS)
    keep = np.ones(len(pairs.i), dtype=np.bool_)
    for _ in range(_CLIP_ROUNDS if clip else 1):
        transform = solve(pairs[keep])
        x, y = transform.apply(pairs.z.real, pairs.z.imag)
        residual = np.sqrt(pairs.weight) * np.abs(x + 1j * y - pairs.target)
        # In units of the stated errors, which are believed unless the stars scatter by more.
        scatter = max(1.0, float(np.median(residual[keep])) / _RAYLEIGH_MEDIAN)
        better = residual <= _CLIP_SIGMA * scatter
        if not clip or better.sum() < minimum or np.array_equal(better, keep):
            break
        keep = better
    n_values, sum2 = 2 * int(keep.sum()), float(np.sum(residual[keep] ** 2))
    deviance = n_values * math.log(sum2 / n_values + _TINY)
    criterion = deviance + (6 if affine else 4) * math.log(n_values)
    rms_pix = math.sqrt(sum2 / float(pairs.weight[keep].sum()))
    return _Fit(transform, pairs[keep], rms_pix, criterion)


def _solve_similarity(pairs: _Pairs) -> AffineTransform:
    """Solve in closed form on the complex plane: ``α·z + τ`` turns by arg α and scales by |α|."""
    weight = pairs.weight / pairs.weight.sum()
    z0, target0 = weight @ pairs.z, weight @ pairs.target
    z = pairs.z - z0
    alpha = complex((weight * z.conj()) @ (pairs.target - target0) / (weight @ np.abs(z) ** 2))
    tau = complex(target0 - alpha * z0)
    return AffineTransform(alpha.real, -alpha.imag, alpha.imag, alpha.real, tau.real, tau.imag)


def _solve_affine(pairs: _Pairs) -> AffineTransform:
    """Six parameters by linear least squares, about the centre for the sake of conditioning."""
    z0 = complex(pairs.weight @ pairs.z / pairs.weight.sum())
    z, root = pairs.z - z0, np.sqrt(pairs.weight)[:, np.newaxis]
    design = root * np.column_stack([z.real, z.imag, np.ones(len(z))])
    values = root * np.column_stack([pairs.target.real, pairs.target.imag])
    (a, c), (b, d), (tx, ty) = np.linalg.lstsq(design, values)[0].tolist()
    return AffineTransform(
        a, b, c, d, tx - a * z0.real - b * z0.imag, ty - c * z0.real - d * z0.imag
    )


def _check(fit: _Fit, max_residual_pix: float) -> None:
    if fit.rms_pix > max_residual_pix:
        raise AlignmentError(
            f"the {len(fit.pairs.i)} matched stars scatter by {fit.rms_pix:.2f} px about the "
            f"fit, more than {max_residual_pix:.2f} px"
        )
    if abs(fit.transform.scale - 1.0) > MAX_SCALE_CHANGE:
        raise AlignmentError(
            f"the fit to {len(fit.pairs.i)} stars scales the field by {fit.transform.scale:.4f}, "
            f"more than {MAX_SCALE_CHANGE:.0%} from 1: the wrong stars were matched"
        )


def _transparency(reference: StarList, frame: StarList, pairs: _Pairs) -> float:
    bright = np.argsort(-reference.flux[pairs.i], kind="stable")[:BRIGHT_FOR_TRANSPARENCY]
    return float(np.median(frame.flux[pairs.j[bright]] / reference.flux[pairs.i[bright]]))
