"""Align a frame to the reference frame: from shift to matched stars to an affine map.

::

    histogram of differences ─► match ─► robust similarity ─► match closer ─► ... ─► affine?
     tried as is, turned by 180°, then turned and scaled a little
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray
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
"""Rotation sought when a plain shift fails: an equatorial mount's errors stay far below."""
SCALES = (1.0, 0.99, 1.01)
"""Scales sought then: focus and temperature change the scale by less than a percent."""
MAX_RESIDUAL_PIX = 1.0
"""Matched stars scatter by tenths of a pixel; more means that they are not the same stars."""
BRIGHT_FOR_TRANSPARENCY = 50
"""Brightest matched stars whose fluxes are compared; the median of fainter ones is noisier."""

MAX_SCALE_CHANGE = 0.03
"""A fit that stretches the field more than this has matched the wrong stars."""

_CLIP_SIGMA = 4.0  # loses one good star in 3000 (Rayleigh), and every blend that pulls the fit
_CLIP_ROUNDS = 5
_RAYLEIGH_MEDIAN = math.sqrt(2.0 * math.log(2.0))  # of a 2-d residual, in σ of one axis
_MIN_RADIUS_PIX = 0.5  # below, the noisy centroids of true pairs would be lost
_MATCH_ROUNDS = 15  # the radius halves at most, from tens of pixels to a fraction
_TINY_PIX2 = 1e-20  # residuals of noiseless stars; keeps the logarithm finite

ComplexArray: TypeAlias = NDArray[np.complex128]


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
        """Map to the frame after its array was reversed on both axes, when it is flipped.

        This is the map whose whole-pixel part a stack uses; it is near a pure shift.
        """
        return _half_turn(self.shape).compose(self.transform) if self.flipped else self.transform

    @property
    def whole_pixel_shift(self) -> tuple[int, int]:
        """Shift ``(dx, dy)`` of the field's centre under :attr:`upright`, rounded to pixels."""
        y, x = (np.array([(n - 1) / 2.0]) for n in self.shape)
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
        Exposure time of the frame over that of the reference; 1 when the fluxes are per second.
    max_shift_pix : float, optional
        Largest shift sought on each axis; by default any.
    max_residual_pix : float, optional
        Residual rms above which the fit is refused.

    Returns
    -------
    Alignment
        The similarity (shift, rotation, scale) that fits the matched stars, or the full affine
        map when at least twelve stars are matched and their residuals ask for it.

    Raises
    ------
    AlignmentError
        If there are too few stars, no shift stands out from chance, or the residual is too
        large.
    ValueError
        If ``exposure_ratio`` is not positive.

    Notes
    -----
    The votes are gathered for the frame as it is, then for the frame turned by 180°, and only
    then for small rotations and scales, in steps that keep the corner stars in the bin of the
    others. Stars are weighted by brightness, :math:`f/(f+f_½)` with the median :math:`f_½`:
    the variance of a centroid falls as 1/f until the optics' distortions take over. The affine
    map must lower Schwarz' criterion against the similarity.
    """
    if not exposure_ratio > 0.0:
        raise ValueError(f"exposure_ratio must be positive, got {exposure_ratio}")
    for name, stars in (("reference", reference), ("frame", frame)):
        if stars.count < MIN_STARS:
            raise AlignmentError(f"the {name} has {stars.count} stars, {MIN_STARS} are needed")
    reasons = []
    for trial, n_stars in _trials(shape):
        try:
            start = _vote(reference, frame, trial, n_stars, max_shift_pix)
            matched = _refine(reference, frame, start, 2.0 * _bin_pix(shape))
            return _conclude(reference, frame, shape, matched, exposure_ratio, max_residual_pix)
        except AlignmentError as error:
            reasons.append(str(error))
    raise AlignmentError(reasons[0])


@dataclass(frozen=True)
class _Fit:
    """A map, the matched stars it was fitted to (indices into both lists), and its residual."""

    transform: AffineTransform
    i: IntArray
    j: IntArray
    rms_pix: float
    criterion: float


def _bin_pix(shape: tuple[int, int]) -> float:
    """Bin of the histogram of shifts on a field of this size."""
    return max(BIN_PIX, 2.0 * max(shape) / MAX_BINS_PER_AXIS)


def _half_turn(shape: tuple[int, int]) -> AffineTransform:
    return AffineTransform(a=-1.0, d=-1.0, tx=shape[1] - 1.0, ty=shape[0] - 1.0)


def _trials(shape: tuple[int, int]) -> Iterator[tuple[AffineTransform, int]]:
    """Maps to try before voting, likeliest first, with the number of stars that vote."""
    poses = (AffineTransform.identity(), _half_turn(shape))
    everything = max(shape) ** 2
    for n_stars in (STARS_FOR_SHIFT, everything):
        for pose in poses:
            yield pose, n_stars
    step_rad = 2.0 * _bin_pix(shape) / (0.5 * math.hypot(*shape))
    n_steps = math.ceil(math.radians(MAX_ROTATION_DEG) / step_rad)
    for pose in poses:
        for step in sorted(range(-n_steps, n_steps + 1), key=abs):
            for scale in SCALES:
                yield pose.compose(_turn(shape, step * step_rad, scale)), everything


def _turn(shape: tuple[int, int], angle_rad: float, scale: float) -> AffineTransform:
    """Rotation and scale about the centre of the field."""
    y, x = ((n - 1) / 2.0 for n in shape)
    cos, sin = scale * math.cos(angle_rad), scale * math.sin(angle_rad)
    return AffineTransform(cos, -sin, sin, cos, x - cos * x + sin * y, y - sin * x - cos * y)


def _vote(
    reference: StarList,
    frame: StarList,
    trial: AffineTransform,
    n_stars: int,
    max_shift_pix: float | None,
) -> AffineTransform:
    """Return the trial map, shifted to where most pairs agree."""
    turned = np.column_stack(trial.apply(reference.x[:n_stars], reference.y[:n_stars]))
    shift = find_shift(turned, frame.xy[:n_stars], max_shift_pix=max_shift_pix)
    if not shift.is_significant:
        raise AlignmentError(
            f"no significant shift between the {reference.count} stars of the reference and the "
            f"{frame.count} of the frame: {shift.votes} pairs agree at best, chance gives "
            f"{shift.expected:.1f}"
        )
    return AffineTransform.translation(shift.dx, shift.dy).compose(trial)


def _refine(
    reference: StarList, frame: StarList, start: AffineTransform, radius_pix: float
) -> _Fit:
    """Match and fit in turn, the radius of the match following the residuals."""
    tree = cKDTree(frame.xy)
    transform, settled = start, False
    for _ in range(_MATCH_ROUNDS):
        i, j = _match(reference, tree, transform, radius_pix)
        if len(i) < MIN_STARS:
            raise AlignmentError(
                f"only {len(i)} stars match within {radius_pix:.1f} px, {MIN_STARS} are needed"
            )
        fit = _fit(reference, frame, i, j, affine=False)
        if settled and len(fit.i) >= MIN_STARS_AFFINE:
            affine = _fit(reference, frame, i, j, affine=True)
            same = _fit(reference, frame, affine.i, affine.j, affine=False, clip=False)
            fit = affine if affine.criterion < same.criterion else fit
        done = settled and fit.transform == transform
        transform = fit.transform
        wanted = max(_MIN_RADIUS_PIX, 3.0 * _CLIP_SIGMA * fit.rms_pix)
        settled = settled or wanted >= 0.5 * radius_pix
        radius_pix = min(radius_pix, max(wanted, 0.5 * radius_pix))
        if done:
            break
    return fit


def _match(
    reference: StarList, tree: "cKDTree[None]", transform: AffineTransform, radius_pix: float
) -> tuple[IntArray, IntArray]:
    """Pairs of indices; every star of either list is in one pair at most, the closest."""
    predicted = np.column_stack(transform.apply(reference.x, reference.y))
    distance, nearest = tree.query(predicted, distance_upper_bound=radius_pix)
    order = np.argsort(distance, kind="stable")
    order = order[np.isfinite(distance[order])]
    j, first = np.unique(nearest[order], return_index=True)
    return order[first].astype(np.int64), j.astype(np.int64)


def _fit(
    reference: StarList,
    frame: StarList,
    i: IntArray,
    j: IntArray,
    *,
    affine: bool,
    clip: bool = True,
) -> _Fit:
    """Weighted least squares, repeated without the stars that do not belong."""
    x, y = reference.x[i], reference.y[i]
    target = frame.x[j] + 1j * frame.y[j]
    weight = _weights(np.minimum(_relative(reference.flux[i]), _relative(frame.flux[j])))
    solve = _solve_affine if affine else _solve_similarity
    minimum = MIN_STARS_AFFINE if affine else MIN_STARS
    keep: BoolArray = np.ones(len(i), dtype=np.bool_)
    for _ in range(_CLIP_ROUNDS):
        transform = solve(x[keep] + 1j * y[keep], target[keep], weight[keep])
        fitted_x, fitted_y = transform.apply(x, y)
        residual2 = weight * np.abs(fitted_x + 1j * fitted_y - target) ** 2
        limit = (_CLIP_SIGMA / _RAYLEIGH_MEDIAN) ** 2 * np.median(residual2[keep])
        better = residual2 <= limit
        if not clip or better.sum() < minimum or np.array_equal(better, keep):
            break
        keep = better
    sum2, n_values = float(residual2[keep].sum()), 2 * int(keep.sum())
    criterion = n_values * math.log(max(sum2, _TINY_PIX2)) + (6 if affine else 4) * math.log(n_values)
    rms = math.sqrt(sum2 / float(weight[keep].sum()))
    return _Fit(transform, i[keep], j[keep], rms, criterion)


def _relative(flux: FloatArray) -> FloatArray:
    return flux / np.median(flux)


def _weights(relative_flux: FloatArray) -> FloatArray:
    return relative_flux / (1.0 + relative_flux)


def _solve_similarity(z: ComplexArray, target: ComplexArray, weight: FloatArray) -> AffineTransform:
    """Closed form on the complex plane: ``target = α·z + τ`` turns by arg α and scales by |α|."""
    z0, t0 = np.average(z, weights=weight), np.average(target, weights=weight)
    spread = float(np.sum(weight * np.abs(z - z0) ** 2))
    alpha = np.sum(weight * np.conj(z - z0) * (target - t0)) / spread if spread > 0.0 else 1.0
    tau = t0 - alpha * z0
    a, c = float(np.real(alpha)), float(np.imag(alpha))
    return AffineTransform(a, -c, c, a, float(tau.real), float(tau.imag))


def _solve_affine(z: ComplexArray, target: ComplexArray, weight: FloatArray) -> AffineTransform:
    """Six parameters by linear least squares about the centre, for the sake of conditioning."""
    z0 = complex(np.average(z, weights=weight))
    root = np.sqrt(weight)[:, np.newaxis]
    design = root * np.column_stack([(z - z0).real, (z - z0).imag, np.ones(len(z))])
    values = root * np.column_stack([target.real, target.imag])
    (a, c), (b, d), (tx, ty) = np.linalg.lstsq(design, values)[0]
    tx, ty = tx - a * z0.real - b * z0.imag, ty - c * z0.real - d * z0.imag
    return AffineTransform(*(float(value) for value in (a, b, c, d, tx, ty)))


def _conclude(
    reference: StarList,
    frame: StarList,
    shape: tuple[int, int],
    fit: _Fit,
    exposure_ratio: float,
    max_residual_pix: float,
) -> Alignment:
    """Refuse what cannot be true; add what the matched stars tell besides."""
    if fit.rms_pix > max_residual_pix:
        raise AlignmentError(
            f"the {len(fit.i)} matched stars scatter by {fit.rms_pix:.2f} px about the fit, "
            f"more than {max_residual_pix:.2f} px"
        )
    if abs(fit.transform.scale - 1.0) > MAX_SCALE_CHANGE:
        raise AlignmentError(
            f"the fit to {len(fit.i)} stars scales the field by {fit.transform.scale:.4f}, "
            f"more than {MAX_SCALE_CHANGE:.0%} from 1: the wrong stars were matched"
        )
    bright = np.argsort(-reference.flux[fit.i], kind="stable")[:BRIGHT_FOR_TRANSPARENCY]
    ratio = frame.flux[fit.j[bright]] / reference.flux[fit.i[bright]]
    return Alignment(
        transform=fit.transform,
        n_matched=len(fit.i),
        residual_rms_pix=fit.rms_pix,
        transparency=float(np.median(ratio)) / exposure_ratio,
        flipped=abs(fit.transform.rotation_deg) > 90.0,
        shape=shape,
    )
