"""The default aperture of each source: the one in which *stars like it* are quietest.

A star's own scatter must not choose its aperture: that fits the noise, and flatters or hides
an event. Its neighbours in brightness vote, the star itself having none; the choice is made
once for the night, because an aperture that follows the seeing turns width into flux.
"""

import numpy as np
from scipy.ndimage import median_filter

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray
from tianyu.pipelines.science.scatter import PLAIN, Medians, finite_median
from tianyu.pipelines.science.trend import without_linear_trend

N_LIKE = 20
"""Neighbours in brightness that vote. One star's scatter over a night is uncertain by some 7 %, so
that several must; too many and the brightest stars get the smaller aperture of the more
numerous faint ones (on HAT-P-32 2.5 instead of 3.5 pixels with 80)."""


def choose_radius(
    time: FloatArray,
    relative_flux: FloatArray,
    mean_flux: FloatArray,
    good: BoolArray,
    *,
    may_vote: BoolArray | None = None,
    n_like: int = N_LIKE,
    medians: Medians = PLAIN,
) -> IntArray:
    """Choose the default aperture radius of every source.

    Parameters
    ----------
    time : ndarray, shape (n_frame,)
    relative_flux : ndarray, shape (n_radius, n_source, n_frame)
        NaN is left out.
    mean_flux : ndarray, shape (n_source,)
        In one aperture. A source without a positive finite flux goes with the faintest.
    good : ndarray of bool, shape (n_frame,)
    may_vote : ndarray of bool, shape (n_source,), optional
        Leave out saturated stars, known variables, blends.
    n_like : int
        Number of voters, those nearest in rank of brightness.
    medians : Medians, optional

    Returns
    -------
    ndarray of int, shape (n_source,)
        Index of the radius: smooth in brightness, the same for the whole night.

    Raises
    ------
    UnusableDataError
        If no source has a positive mean flux and a scatter in any aperture.

    Notes
    -----
    A vote is the logarithm of the star's robust scatter about a linear trend in each aperture,
    less its mean over the apertures, so that loud stars do not outvote quiet ones. The median
    of the votes does not mind the few neighbours that have an event. The winners are then
    smoothed by a median over neighbouring ranks.
    """
    scatter = [medians.mad(without_linear_trend(time[good], f[:, good])) for f in relative_flux]
    votes = _votes(np.array(scatter))
    bright = np.isfinite(mean_flux) & (mean_flux > 0)
    voters = bright & np.isfinite(votes).any(axis=0)
    if may_vote is not None and (voters & may_vote).any():
        voters &= may_vote
    if not voters.any():
        raise UnusableDataError(
            f"none of {mean_flux.size} sources has a positive mean flux and a light curve; "
            "no aperture can be preferred"
        )
    electorate = np.flatnonzero(voters)
    electorate = electorate[np.argsort(-mean_flux[electorate], kind="stable")]
    brightness = np.where(bright, mean_flux, 0.0)
    choice = _elect(votes, electorate, brightness, n_like)
    order = np.argsort(-brightness, kind="stable")
    smooth = np.empty_like(choice)
    smooth[order] = median_filter(choice[order], size=n_like // 2 * 2 + 1, mode="nearest")
    return smooth


def _votes(scatter: FloatArray) -> FloatArray:
    """Logarithm of the scatter less its mean over the apertures; shape (n_radius, n_source)."""
    positive = np.isfinite(scatter) & (scatter > 0)
    complete = positive.all(axis=0)
    logarithm = np.log(np.where(positive, scatter, 1.0))
    return np.where(complete, logarithm - logarithm.mean(axis=0), np.nan)


def _elect(
    votes: FloatArray, electorate: IntArray, brightness: FloatArray, n_like: int
) -> IntArray:
    """Radius with the lowest median vote among the voters nearest in rank, oneself left out."""
    n_window = min(n_like + 1, electorate.size)
    rank = np.searchsorted(-brightness[electorate], -brightness)
    first = np.clip(rank - n_window // 2, 0, electorate.size - n_window)
    like = electorate[first[:, None] + np.arange(n_window)]
    itself = like == np.arange(brightness.size)[:, None]
    alone = itself.all(axis=1, keepdims=True)
    tally = [finite_median(np.where(itself & ~alone, np.nan, v[like])) for v in votes]
    return np.asarray(np.argmin(tally, axis=0), dtype=np.int64)
