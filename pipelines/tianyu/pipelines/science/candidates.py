"""Which sources may serve as reference stars of a night.

A candidate is measured without a flag in (nearly) all good frames, is not known to vary,
has no close neighbour, and has a finite positive mean flux.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import BoolArray, FloatArray
from tianyu.pipelines.science.flags import FluxFlag

FlagArray = NDArray[np.uint16]
"""Bits of :class:`~tianyu.pipelines.science.flags.FluxFlag`."""

HARMLESS_FLAGS = (
    FluxFlag.FRAME_REJECTED
    | FluxFlag.FILLED
    | FluxFlag.FEW_REFERENCES
    | FluxFlag.BLENDED
    | FluxFlag.FORCED
)
"""Say nothing against one epoch. A blend is a property of the star, judged once for all."""


@dataclass(frozen=True)
class CandidateRules:
    """Thresholds of the candidate rules; the defaults are those of the published method.

    Raises
    ------
    ValueError
        If a threshold is out of its range.
    """

    max_missing_fraction: float = 0.05
    """Of the good frames; more filled epochs would make a reference star out of guesses."""
    isolation_quantile: float = 0.5
    """Candidates lie above this quantile of the distance to the nearest other source."""
    gaia_distance_ratio: float = 1.5
    """``d2 − d1`` at least this many ``d1``: the second Gaia neighbour is no rival match."""
    allow_blended: bool = False
    """Accept stars flagged BLENDED: for methods that weigh each star by its own noise."""

    def __post_init__(self) -> None:
        for name in ("max_missing_fraction", "isolation_quantile"):
            value = getattr(self, name)
            if not 0.0 <= value < 1.0:
                raise ValueError(f"{name} is {value}; it must be in [0, 1)")
        if self.gaia_distance_ratio < 0.0:
            raise ValueError(f"gaia_distance_ratio is {self.gaia_distance_ratio}; it must be >= 0")


ENSEMBLE_RULES = CandidateRules(isolation_quantile=0.0, allow_blended=True)
"""For a weighted ensemble. Bright stars seldom are isolated, since faint sources surround all
alike: on HAT-P-32 asking for isolation loses half of them, and the target gets 7-12 % noisier."""


@dataclass(frozen=True)
class Candidates:
    """Candidate reference stars and the cube in which their gaps are filled."""

    is_candidate: BoolArray
    """Shape (n_source,)."""
    flux: FloatArray
    """Copy of the cube, shape (n_source, n_frame); filled only at candidates in good frames."""
    flags: FlagArray
    """Copy of the flags with FILLED set where a value was filled in."""
    mean_flux: FloatArray
    """Shape (n_source,): flux at transparency 1, from the usable good frames; NaN if none."""


def usable_epochs(flux: FloatArray, flags: FlagArray) -> BoolArray:
    """Tell where a flux is finite and carries no flag against the star's own measurement."""
    return np.asarray(np.isfinite(flux) & ((flags & ~np.uint16(HARMLESS_FLAGS)) == 0))


def mean_at_unit_transparency(
    flux: FloatArray, usable: BoolArray, transparency: FloatArray
) -> FloatArray:
    """Mean flux of each source as seen through transparency 1.

    The ratio of sums, ``Σ F / Σ T`` over the usable epochs: unbiased by *which* epochs are
    missing, and bright epochs weigh more, as their photon noise deserves.

    Parameters
    ----------
    flux : ndarray, shape (n_source, n_frame)
    usable : ndarray of bool, shape (n_source, n_frame)
    transparency : ndarray, shape (n_frame,)
        An epoch without a positive finite transparency is not used.

    Returns
    -------
    ndarray, shape (n_source,)
        NaN where no epoch is usable.
    """
    clear = np.isfinite(transparency) & (transparency > 0)
    use = usable & clear
    light = np.where(use, flux, 0.0).sum(axis=1)
    through = use @ np.where(clear, transparency, 0.0)
    return np.where(through > 0, light / np.where(through > 0, through, 1.0), np.nan)


def nearest_distance(x: FloatArray, y: FloatArray) -> FloatArray:
    """Distance from each source to the nearest other one, in the unit of x and y.

    Examples
    --------
    >>> nearest_distance(np.array([0.0, 3.0, 3.0]), np.array([0.0, 4.0, 5.0]))
    array([5., 1., 1.])
    """
    if x.size < 2:
        return np.full(x.shape, np.inf)
    points = np.column_stack([x, y])
    distance, _ = cKDTree(points).query(points, k=2)
    return np.asarray(distance, dtype=np.float64)[:, 1]


def isolated_sources(
    x: FloatArray,
    y: FloatArray,
    gaia_distance_1: FloatArray | None = None,
    gaia_distance_2: FloatArray | None = None,
    rules: CandidateRules | None = None,
) -> BoolArray:
    """Tell which sources have no close neighbour, in the template and in Gaia.

    Parameters
    ----------
    x, y : ndarray, shape (n_source,)
        Template positions, pixels.
    gaia_distance_1, gaia_distance_2 : ndarray, shape (n_source,), optional
        Distance to the nearest and second nearest Gaia star, in one unit. NaN or infinity
        (no such star) passes; leaving both out skips the rule.
    rules : CandidateRules, optional

    Returns
    -------
    ndarray of bool, shape (n_source,)
    """
    rules = rules or CandidateRules()
    distance = nearest_distance(x, y)
    if distance.size < 2:
        return np.ones(distance.shape, dtype=np.bool_)
    alone = distance >= np.quantile(distance, rules.isolation_quantile)
    if gaia_distance_1 is None or gaia_distance_2 is None:
        return np.asarray(alone)
    known = np.isfinite(gaia_distance_1) & np.isfinite(gaia_distance_2)
    near = np.where(known, gaia_distance_1, 0.0)
    gap = np.where(known, gaia_distance_2, 0.0) - near
    return np.asarray(alone & (~known | (gap >= rules.gaia_distance_ratio * near)))


def select_candidates(
    flux: FloatArray,
    flags: FlagArray,
    good: BoolArray,
    transparency: FloatArray,
    x: FloatArray,
    y: FloatArray,
    *,
    is_variable: BoolArray | None = None,
    gaia_distance_1: FloatArray | None = None,
    gaia_distance_2: FloatArray | None = None,
    rules: CandidateRules | None = None,
) -> Candidates:
    """Choose the stars that may serve as references, and fill their few missing epochs.

    Parameters
    ----------
    flux : ndarray, shape (n_source, n_frame)
        Fluxes in one aperture; NaN is not measured. Not changed.
    flags : ndarray of uint16, shape (n_source, n_frame)
        A flagged epoch counts as missing; one saturated epoch bars the star, because its
        neighbouring epochs are beyond the linear range too.
    good : ndarray of bool, shape (n_frame,)
        Frames that passed the selection.
    transparency : ndarray, shape (n_frame,)
        Of each frame relative to the reference frame.
    x, y : ndarray, shape (n_source,)
        Template positions, pixels.
    is_variable : ndarray of bool, shape (n_source,), optional
        Known variables, e.g. by Gaia's flag.
    gaia_distance_1, gaia_distance_2 : ndarray, shape (n_source,), optional
        See :func:`isolated_sources`.
    rules : CandidateRules, optional

    Returns
    -------
    Candidates

    Raises
    ------
    UnusableDataError
        If there is no source or no good frame.
    """
    rules = rules or CandidateRules()
    if flux.shape[0] == 0 or not good.any():
        raise UnusableDataError(
            f"{flux.shape[0]} sources and {int(good.sum())} good frames of {good.size}: "
            "reference stars need at least one of each; loosen the selection of frames"
        )
    usable = usable_epochs(flux, flags)
    mean = mean_at_unit_transparency(flux, usable & good, transparency)
    missing = (~usable[:, good]).mean(axis=1)
    saturated = ((flags[:, good] & np.uint16(FluxFlag.SATURATED)) != 0).any(axis=1)
    accepted = (missing <= rules.max_missing_fraction) & np.isfinite(mean) & (mean > 0)
    if not rules.allow_blended:
        accepted &= ((flags[:, good] & np.uint16(FluxFlag.BLENDED)) == 0).all(axis=1)
    accepted &= ~saturated & isolated_sources(x, y, gaia_distance_1, gaia_distance_2, rules)
    if is_variable is not None:
        accepted &= ~is_variable
    gap = accepted[:, None] & good & ~usable
    return Candidates(
        is_candidate=accepted,
        flux=np.where(gap, mean[:, None] * transparency, flux),
        flags=np.where(gap, flags | np.uint16(FluxFlag.FILLED), flags),
        mean_flux=mean,
    )
