"""Slow trends that follow airmass, place on the detector, sky or seeing, out of one light curve.

    F(t) = level · [1 + Σ c_k (v_k(t) − v_k,ref)] · signal(t)

Each term v_k is measured, not smoothed from the curve, so that nothing but what follows it can
be taken out. Three guards keep real events:

- A term is used only if it lowers the scatter of *other* stars: constant stars of like
  brightness, each fitted by itself and judged on blocks of time that its fit has not seen. A
  term must win by 1 % (median over the stars).
- The star's coefficients are fitted together with the most significant dip or brightening of
  its curve (a box, trapezoid or triangle), if it has one of 4σ, so that a transit centred on
  the least airmass is no trend.
- They have the distribution of the coefficients of the like stars as their prior, so that a
  star that varies all night keeps nearly the common trend.

A transit of 2 % at the least airmass then keeps its depth, as far as noise lets the two be told
apart: within 1 ± 1.5 % for two hours of five with 0.2 % per point, 2 ± 3 % with 0.5 %, 6 ± 4 %
with 1 %. An event that is shorter than five frames, below 4σ or longer than most of a night can
lose a part of its depth. A colour term needs no column of its own: with the coefficient of
airmass free per star it is the same.

References
----------
Smith, J. C. et al. 2012, PASP 124, 1000 (priors from other stars). Foreman-Mackey, D. et al.
2015, ApJ 806, 215 (events and systematics fitted together).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import FloatArray, IntArray
from tianyu.pipelines.science.likestars import N_LIKE, like_star_sigmas
from tianyu.pipelines.science.scatter import finite_median, mad_sigma
from tianyu.pipelines.science.spikes import without_spikes
from tianyu.pipelines.science.trendevent import TrendEvent, fit_with_event

MIN_LIKE = 8
"""Constant stars that must be left to judge by."""
MAX_LIKE_SIGMAS = 3.0
"""A star noisier than this among those like it is not constant."""
MIN_FRACTION = 0.8
"""Of the star's epochs, that a like star must share."""
N_BLOCKS = 10
"""Of successive frames, held out one after the other."""
MIN_GAIN = 0.01
MIN_POINTS = 30


@dataclass(frozen=True)
class TermVerdict:
    """What one term did to constant stars of like brightness."""

    name: str
    is_used: bool
    ratio: float
    """Cross-validated scatter with it over that without it, median over the stars; NaN where
    the term does not change through the night."""


@dataclass(frozen=True, eq=False)
class Detrending:
    """The trend of one light curve.

    Attributes
    ----------
    trend : ndarray, shape (n_frame,)
        Relative to the level: the flux divided by ``1 + trend`` is the detrended one. NaN
        where a used term was not measured.
    verdicts : tuple of TermVerdict
        Of every term that was asked for.
    coefficients, references : dict of str to ndarray, shape (n_column,)
        Of used terms: relative flux per unit of the column, and the value at which the trend
        is zero.
    event : TrendEvent or None
        What was fitted beside the trend and stays in the curve.
    n_like : int
        Constant stars that judged.
    """

    trend: FloatArray
    verdicts: tuple[TermVerdict, ...]
    coefficients: dict[str, FloatArray]
    references: dict[str, FloatArray]
    event: TrendEvent | None
    n_like: int


def detrend(
    time: FloatArray,
    flux: FloatArray,
    mean_flux: FloatArray,
    terms: Mapping[str, FloatArray],
    row: int,
) -> Detrending:
    """Fit the trend of one star, with the terms that help the constant stars like it.

    Parameters
    ----------
    time : ndarray, shape (n_frame,)
        Days, ascending.
    flux : ndarray, shape (n_source, n_frame)
        Relative fluxes of one run, level near 1; NaN where not measured or not good.
    mean_flux : ndarray, shape (n_source,)
        Brightness.
    terms : mapping of str to ndarray, shape (n_source or 1, n_frame, n_column)
        What the trend may follow, in any unit; NaN where not measured.
    row : int
        The star.

    Returns
    -------
    Detrending

    Raises
    ------
    UnusableDataError
        If the star has no positive mean flux, fewer than 30 points with all terms, or fewer
        than 8 constant stars of like brightness.
    """
    if not mean_flux[row] > 0:
        raise UnusableDataError(
            f"its mean flux is {mean_flux[row]:g}: no stars are like one without light"
        )
    measured = np.all([np.isfinite(values[_row(values, row)]).all(axis=1)
                       for values in terms.values()], axis=0)  # fmt: skip
    here = measured & np.isfinite(flux[row])
    if here.sum() < MIN_POINTS:
        raise UnusableDataError(
            f"{int(here.sum())} good points have all of {', '.join(terms)}; a trend needs "
            f"{MIN_POINTS}: leave out a term, or take a longer night"
        )
    like = constant_like_stars(flux[:, here], mean_flux, row)
    if like.size < MIN_LIKE:
        raise UnusableDataError(
            f"{like.size} constant stars are of like brightness; {MIN_LIKE} are needed to judge "
            "a trend"
        )
    rows = np.r_[row, like]
    columns = {name: values[_row(values, rows)] for name, values in terms.items()}
    references = {name: np.median(values[0, here], axis=0) for name, values in columns.items()}
    scales = {name: _spread(values[0, here]) for name, values in columns.items()}
    scaled = {
        name: (values - finite_median(np.swapaxes(values[:, here], 1, 2))[:, None, :])
        / scales[name]
        for name, values in columns.items()
        if np.isfinite(scales[name]).any()
    }
    level = finite_median(flux[rows][:, here])[:, None]
    change = flux[rows] / level - 1.0
    stars = _Stars.of(change[1:, here], {name: a[1:, here] for name, a in scaled.items()})
    ratios, used = choose_terms(stars)
    verdicts = tuple(TermVerdict(n, n in used, ratios.get(n, float("nan"))) for n in terms)
    if not used:
        return Detrending(np.zeros(time.shape), verdicts, {}, {}, None, like.size)
    prior = stars.coefficients(used)
    design = np.concatenate([scaled[name][0] for name in used], axis=1)
    found, event = fit_with_event(time[here], change[0, here], design[here], *prior)
    coefficients, at = {}, 0
    for name in used:
        width = scales[name].size
        coefficients[name] = found[at : at + width] / scales[name]
        at += width
    return Detrending(
        trend=design @ found,
        verdicts=verdicts,
        coefficients=coefficients,
        references={name: references[name] for name in used},
        event=event,
        n_like=int(like.size),
    )


def constant_like_stars(flux: FloatArray, mean_flux: FloatArray, row: int) -> IntArray:
    """Return the stars next in brightness that do not vary more than others like them.

    Parameters
    ----------
    flux : ndarray, shape (n_source, n_frame)
    mean_flux : ndarray, shape (n_source,)
    row : int
        The star itself is not among them.
    """
    scatter = mad_sigma(flux)
    scatter = np.log(np.where(scatter > 0, scatter, np.nan))
    seen = np.isfinite(flux).mean(axis=1) >= MIN_FRACTION
    usable = seen & (mean_flux > 0) & np.isfinite(scatter)
    # With few stars there is no level to be above of: none is known to vary.
    usable &= ~(like_star_sigmas(scatter, mean_flux) > MAX_LIKE_SIGMAS)
    usable[row] = False
    candidates = np.flatnonzero(usable)
    distance = np.abs(np.log(mean_flux[candidates] / mean_flux[row]))
    return np.asarray(candidates[np.argsort(distance, kind="stable")[:N_LIKE]])


@dataclass(frozen=True, eq=False)
class _Stars:
    """Constant stars with the columns of every term, on common scales; NaN has no weight."""

    change: FloatArray
    weight: FloatArray
    columns: Mapping[str, FloatArray]

    @classmethod
    def of(cls, change: FloatArray, columns: Mapping[str, FloatArray]) -> "_Stars":
        kept = np.isfinite(without_spikes(change))
        for values in columns.values():
            kept &= np.isfinite(values).all(axis=2)
        blank = {name: np.where(kept[..., None], v, 0.0) for name, v in columns.items()}
        return cls(np.where(kept, change, 0.0), kept.astype(np.float64), blank)

    def design(self, names: list[str]) -> FloatArray:
        ones = np.ones((*self.change.shape, 1))
        return np.concatenate([ones, *(self.columns[name] for name in names)], axis=2)

    def held_out_scatter(self, names: list[str]) -> FloatArray:
        """Rms about the fits of the other blocks, shape (n_star,)."""
        design = self.design(names)
        total = _normal(design, self.change, self.weight)
        squares = np.zeros(len(self.change))
        for block in np.array_split(np.arange(self.change.shape[1]), N_BLOCKS):
            here = design[:, block], self.change[:, block], self.weight[:, block]
            part = _normal(*here)
            fit = _solve(total[0] - part[0], total[1] - part[1])
            rest = here[1] - np.einsum("snk,sk->sn", here[0], fit)
            squares += (here[2] * rest**2).sum(axis=1)
        return np.asarray(np.sqrt(squares / self.weight.sum(axis=1)))

    def coefficients(self, names: list[str]) -> tuple[FloatArray, FloatArray]:
        """Return median and true spread of the stars' coefficients, shape (n_column,).

        What their own errors explain is subtracted from the spread.
        """
        design = self.design(names)
        matrix, right = _normal(design, self.change, self.weight)
        fit = _solve(matrix, right)
        rest = (self.change - np.einsum("snk,sk->sn", design, fit)) * self.weight
        variance = (rest**2).sum(axis=1) / (self.weight.sum(axis=1) - fit.shape[1])
        own = variance[:, None] * np.diagonal(np.linalg.pinv(matrix), axis1=1, axis2=2)
        middle, spread = np.median(fit, axis=0), mad_sigma(fit.T)
        # Never nothing: a tenth of what was seen keeps the fit of the star defined.
        true = np.sqrt(np.maximum(spread**2 - np.median(own, axis=0), (0.1 * spread) ** 2))
        return middle[1:], true[1:]


def choose_terms(stars: _Stars) -> tuple[dict[str, float], list[str]]:
    """Add terms one after the other, best first, while the next one still wins by 1 %.

    Returns
    -------
    ratios : dict of str to float
        Scatter with the term over that without it, when it was taken or last refused.
    used : list of str
        In the order in which they were taken.
    """
    used: list[str] = []
    ratios: dict[str, float] = {}
    before = stars.held_out_scatter(used)
    while left := [name for name in stars.columns if name not in used]:
        after = {name: stars.held_out_scatter([*used, name]) for name in left}
        for name in left:
            ratios[name] = float(np.median(after[name] / before))
        best = min(left, key=ratios.__getitem__)
        if not ratios[best] < 1.0 - MIN_GAIN:
            break
        used.append(best)
        before = after[best]
    return ratios, used


def _spread(values: FloatArray) -> FloatArray:
    """Return each column's standard deviation, infinite where it does not change: its part is 0."""
    least = 1e-9 * np.maximum(np.abs(values).max(axis=0), 1.0)
    return np.where(np.ptp(values, axis=0) > least, values.std(axis=0), np.inf)


def _row(values: FloatArray, rows: int | IntArray) -> int | IntArray:
    """Index of the stars' own values, or of those that all stars share."""
    return 0 * rows if len(values) == 1 else rows


def _normal(
    design: FloatArray, change: FloatArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray]:
    weighted = design * weight[..., None]
    matrix = np.swapaxes(weighted, 1, 2) @ design
    return matrix, np.einsum("snk,sn->sk", weighted, change)


def _solve(matrix: FloatArray, right: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("skl,sl->sk", np.linalg.pinv(matrix, hermitian=True), right))
