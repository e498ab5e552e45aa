"""Align a frame to the reference frame: from a shift to matched stars to an affine map.

::

    votes for a shift ─► match ─► robust similarity ─► match closer ─► … ─► affine, if justified
     as it is, turned by 180°, then turned and scaled a little
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.alignment import Alignment, AlignmentError, half_turn
from tianyu.pipelines.science.mapfit import CLIP_SIGMA, MIN_STARS_AFFINE, MapFit, fit_map
from tianyu.pipelines.science.pairs import MIN_STARS, Pairing, StarPairs, plain_pairing
from tianyu.pipelines.science.shift import BIN_PIX, MAX_BINS_PER_AXIS, Tally, find_shift, tally
from tianyu.pipelines.science.starlist import StarList
from tianyu.pipelines.science.transform import AffineTransform

STARS_FOR_SHIFT = 100
"""Brightest stars that vote: safe when half are lost in each list, and 10⁴ pairs are cheap."""
MAX_ROTATION_DEG = 3.0
"""Rotation sought when a plain shift fails; the errors of a mount stay far below."""
SCALES = (1.0, 0.99, 1.01)
"""Scales sought then: focus and temperature change the scale by less than a percent."""
MAX_SCALE_CHANGE = 0.03
"""A fit that stretches the field by more has matched the wrong stars."""
MAX_RESIDUAL_PIX = 1.0
"""Matched stars scatter by tenths of a pixel; more means that they are not the same stars."""
CONVINCING_FRACTION = 0.25
"""Of the shorter list: with so many stars matched no other map is sought."""
LEAST_FRACTION = 0.08
"""Of the shorter list: fewer matches than this in a corner of the field are chance. Two frames
that share a fifth of their field, each missing half of the stars there, still match a tenth."""
FEW_STARS = 8
"""Of fewer even all may agree without proving anything."""
BRIGHT_FOR_TRANSPARENCY = 50
"""Brightest matched stars whose fluxes are compared; fainter ones only add noise."""

_MIN_RADIUS_PIX = 0.5  # below, the noisy centroids of true pairs would be lost
_MATCH_ROUNDS = 15


@dataclass(frozen=True)
class AlignMethod:
    """How frames are aligned: the plain functions, or compiled ones that give the same.

    Attributes
    ----------
    votes : callable
        As :func:`~tianyu.pipelines.science.shift.tally`.
    pairing : callable
        As :func:`~tianyu.pipelines.science.pairs.plain_pairing`.
    fit : callable
        As :func:`~tianyu.pipelines.science.mapfit.fit_map`.
    """

    votes: Tally = tally
    pairing: Callable[[StarList, StarList], Pairing] = plain_pairing
    fit: Callable[..., MapFit] = fit_map


def align(
    reference: StarList,
    frame: StarList,
    shape: tuple[int, int],
    *,
    exposure_ratio: float = 1.0,
    max_shift_pix: float | None = None,
    max_residual_pix: float = MAX_RESIDUAL_PIX,
    method: AlignMethod = AlignMethod(),
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
    method : AlignMethod, optional
        What counts votes, pairs stars and fits maps.

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
            raise AlignmentError(
                f"the {name} has {stars.count} stars, {MIN_STARS} are needed to align by"
            )
    fit = _best_fit(reference, frame, shape, max_shift_pix, max_residual_pix, method)
    return Alignment(
        transform=fit.transform,
        n_matched=len(fit.pairs),
        residual_rms_pix=fit.rms_pix,
        transparency=_transparency(reference, frame, fit.pairs) / exposure_ratio,
        flipped=abs(fit.transform.rotation_deg) > 90.0,
        shape=shape,
    )


def _best_fit(
    reference: StarList,
    frame: StarList,
    shape: tuple[int, int],
    max_shift_pix: float | None,
    max_residual_pix: float,
    method: AlignMethod,
) -> MapFit:
    """Return the first convincing fit, else the one that matches most stars."""
    n_possible = min(reference.count, frame.count)
    reasons: list[str] = []
    best: MapFit | None = None
    for trial, n_stars in _trials(shape):
        try:
            start = _vote(
                reference.brightest(n_stars), frame.brightest(n_stars), trial, max_shift_pix, method
            )
            fit = _refine(reference, frame, start, 2.0 * _bin_pix(shape), method)
            _check(fit, max_residual_pix, n_possible)
        except AlignmentError as error:
            reasons.append(str(error))
            continue
        if len(fit.pairs) >= CONVINCING_FRACTION * n_possible:
            return fit
        if best is None or len(fit.pairs) > len(best.pairs):
            best = fit
    if best is None:
        raise AlignmentError(reasons[0])
    return best


def _bin_pix(shape: tuple[int, int]) -> float:
    """Width of the bins of shifts on a field of this size."""
    return max(BIN_PIX, 2.0 * max(shape) / MAX_BINS_PER_AXIS)


def _trials(shape: tuple[int, int]) -> Iterator[tuple[AffineTransform, int]]:
    """Yield maps to try before voting, likeliest first, and the number of stars that vote."""
    poses = (AffineTransform.identity(), half_turn(shape))
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
    reference: StarList,
    frame: StarList,
    trial: AffineTransform,
    max_shift_pix: float | None,
    method: AlignMethod,
) -> AffineTransform:
    """Return the trial map, shifted to where most pairs agree."""
    turned = np.column_stack(trial.apply(reference.x, reference.y))
    shift = find_shift(turned, frame.xy, max_shift_pix=max_shift_pix, votes=method.votes)
    if not shift.is_significant:
        raise AlignmentError(
            f"no significant shift between {reference.count} stars of the reference and "
            f"{frame.count} of the frame: {shift.votes} pairs agree at best, chance gives "
            f"{shift.expected:.1f}; {_doubt(reference, frame)}"
        )
    return AffineTransform.translation(shift.dx, shift.dy).compose(trial)


def _doubt(reference: StarList, frame: StarList) -> str:
    if min(reference.count, frame.count) < FEW_STARS:
        return "with so few stars no shift is certain, expose longer"
    return "is it the same field?"


def _refine(
    reference: StarList,
    frame: StarList,
    start: AffineTransform,
    radius_pix: float,
    method: AlignMethod,
) -> MapFit:
    """Match and fit in turn, the radius of the match following the residuals."""
    pair = method.pairing(reference, frame)
    transform, affine = start, False
    for _ in range(_MATCH_ROUNDS):
        pairs = pair(transform, radius_pix)
        fit = method.fit(pairs, affine=affine)
        wanted = max(_MIN_RADIUS_PIX, 3.0 * CLIP_SIGMA * fit.rms_pix)
        if fit.transform == transform and wanted >= radius_pix:
            break
        transform, radius_pix = fit.transform, min(radius_pix, max(wanted, 0.25 * radius_pix))
        if not affine and wanted >= radius_pix and len(fit.pairs) >= MIN_STARS_AFFINE:
            full = method.fit(pairs, affine=True)
            same = method.fit(full.pairs, affine=False, clip=False)
            affine = full.criterion < same.criterion
    return fit


def _check(fit: MapFit, max_residual_pix: float, n_possible: int) -> None:
    if len(fit.pairs) < LEAST_FRACTION * n_possible:
        raise AlignmentError(
            f"only {len(fit.pairs)} of {n_possible} stars match the reference, as many as "
            "chance would give; is it the same field?"
        )
    if fit.rms_pix > max_residual_pix:
        raise AlignmentError(
            f"the {len(fit.pairs)} matched stars scatter by {fit.rms_pix:.2f} px about the "
            f"fit, more than {max_residual_pix:.2f} px"
        )
    if abs(fit.transform.scale - 1.0) > MAX_SCALE_CHANGE:
        raise AlignmentError(
            f"the fit to {len(fit.pairs)} stars scales the field by {fit.transform.scale:.4f}, "
            f"more than {MAX_SCALE_CHANGE:.0%} from 1: the wrong stars were matched"
        )


def _transparency(reference: StarList, frame: StarList, pairs: StarPairs) -> float:
    bright = np.argsort(-reference.flux[pairs.i], kind="stable")[:BRIGHT_FOR_TRANSPARENCY]
    return float(np.median(frame.flux[pairs.j[bright]] / reference.flux[pairs.i[bright]]))
