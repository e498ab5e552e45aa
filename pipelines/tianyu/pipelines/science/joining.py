"""Several nights of one sky on one scale of relative flux.

Within a night the level of star i is its flux at the night's mean transparency, mᵢ. From one night
to another all levels change by a common factor c (transparency, aperture, gain), which the
references show: c = median of mᵢ / Lᵢ, Lᵢ being the level on the sky's scale. What is left,
mᵢ / (c·Lᵢ), is the star's own change, and by it the night's relative fluxes are multiplied, which
were over the night's own median. The idea is that of inhomogeneous ensemble photometry (Honeycutt
1992, PASP 104, 435), with the zero points of a night found before and only one unknown per night.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray

FEWEST_SHARED = 3
"""Fewer stars than this cannot tell the factor of a night from a change of one of them."""


@dataclass(frozen=True, eq=False)
class NightLevels:
    """Levels of the sources of one night.

    Parameters
    ----------
    source_id : ndarray of int, shape (n_source,)
    level : ndarray, shape (n_source, n_aperture)
        Flux at the night's mean transparency; NaN where there is none.
    is_reference : ndarray of bool, shape (n_source,)
    """

    source_id: IntArray
    level: FloatArray
    is_reference: BoolArray


def join_nights(nights: Sequence[NightLevels]) -> list[FloatArray | None]:
    """Return what brings the relative fluxes of each night to the scale of the first.

    A source that appears on a later night has its scale from that one. A night that shares too
    few stars with those before it stands for itself.

    Parameters
    ----------
    nights : sequence of NightLevels
        In an order that does not change: the first one is the measure of the others.

    Returns
    -------
    list of (ndarray of shape (n_source, n_aperture), or None)
        1 where a source sets the scale itself or has no level; None for a night that could not
        be joined.

    Examples
    --------
    Four stars; clouds halve the light of the second night, and the last star has faded by 20 %.

    >>> first = NightLevels(np.arange(4), np.array([[8.0], [4], [2], [1]]), np.arange(4) < 3)
    >>> second = NightLevels(np.arange(4), np.array([[4.0], [2], [1], [0.4]]), np.arange(4) < 3)
    >>> [scale.ravel().tolist() for scale in join_nights([first, second])]
    [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.8]]
    """
    known: dict[int, FloatArray] = {}
    references: set[int] = set()
    scales: list[FloatArray | None] = []
    for night in nights:
        n_aperture = night.level.shape[1]
        sky = np.full(night.level.shape, np.nan)
        for i, known_id in enumerate(night.source_id.tolist()):
            if known_id in known:
                # A night of fewer apertures lends its last one to what is wider.
                level = known[known_id]
                sky[i] = level[np.minimum(np.arange(n_aperture), len(level) - 1)]
        factor = np.ones(n_aperture)
        if known:
            found = _factor(night, sky, references)
            if found is None:
                scales.append(None)
                continue
            factor = found
        on_sky = night.level / factor
        is_new = ~np.isfinite(sky).any(axis=1)
        scale = np.where(np.isfinite(on_sky) & np.isfinite(sky), on_sky / sky, 1.0)
        scales.append(scale)
        for row in np.flatnonzero(is_new & np.isfinite(on_sky).all(axis=1)):
            known[int(night.source_id[row])] = on_sky[row]
        references.update(night.source_id[night.is_reference].tolist())
    return scales


def _factor(night: NightLevels, sky: FloatArray, references: set[int]) -> FloatArray | None:
    """Return the night's factor per aperture, from stars that served before and serve now."""
    ratio = night.level / sky
    shared = np.isfinite(ratio).all(axis=1)
    before = np.isin(night.source_id, list(references))
    for chosen in (shared & night.is_reference & before, shared & (night.is_reference | before)):
        if np.count_nonzero(chosen) >= FEWEST_SHARED:
            return np.asarray(np.median(ratio[chosen], axis=0))
    return None
