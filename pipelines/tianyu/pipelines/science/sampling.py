"""Drawing from a posterior with emcee until the chains have converged, and saying whether.

References
----------
Foreman-Mackey, D. et al. 2013, PASP 125, 306 (emcee, after Goodman & Weare 2010).
Sokal, A. 1997, in Functional Integration, NATO ASI B 361 (autocorrelation time).
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import emcee
import numpy as np
from scipy.special import logsumexp

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import FloatArray

LogProbability = Callable[[FloatArray], FloatArray]
"""From parameters of shape (n_walker, n_parameter) to logarithms, shape (n_walker,)."""

BLOCK_STEPS = 500
TIMES_IN_CHAIN = 50
"""A chain of fewer autocorrelation times does not tell its own autocorrelation time."""
TIME_TOLERANCE = 0.05
"""Relative change of the autocorrelation time from block to block that counts as none."""
BURN_IN_TIMES = 5
GOOD_ACCEPTANCE = (0.15, 0.7)


@dataclass(frozen=True)
class SamplerSettings:
    """How long and how often is drawn; the same settings give the same draws.

    Raises
    ------
    ValueError
        If there are too few walkers or steps.
    """

    seed: int = 1
    n_walker: int = 32
    max_steps: int = 20_000

    def __post_init__(self) -> None:
        if self.n_walker < 4 or self.max_steps < BLOCK_STEPS:
            raise ValueError(
                f"{self.n_walker} walkers and {self.max_steps} steps cannot sample anything; give "
                f"at least 4 and {BLOCK_STEPS}"
            )


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws from a posterior, burn-in removed and thinned.

    Attributes
    ----------
    names : tuple of str
    draws : ndarray, shape (n_draw, n_parameter)
    log_probability : ndarray, shape (n_draw,)
        Of each draw, as the function that was sampled gave it.
    acceptance : float
        Fraction of the proposals that were taken, mean over walkers.
    autocorrelation_steps : float
        Largest integrated autocorrelation time of a parameter.
    n_step : int
        Steps of each walker, burn-in included.
    n_independent : float
        Steps after the burn-in times walkers, over the autocorrelation time.
    """

    names: tuple[str, ...]
    draws: FloatArray
    log_probability: FloatArray
    acceptance: float
    autocorrelation_steps: float
    n_step: int
    n_independent: float
    is_settled: bool
    """Whether the autocorrelation time no longer changed when sampling stopped."""

    @property
    def problem(self) -> str | None:
        """What speaks against convergence, in words; None if nothing does."""
        found = []
        if not self.is_settled:
            found.append(
                f"{self.n_step} steps are {self.n_step / self.autocorrelation_steps:.0f} "
                f"autocorrelation times ({TIMES_IN_CHAIN} are wanted, and a steady time)"
            )
        if not GOOD_ACCEPTANCE[0] <= self.acceptance <= GOOD_ACCEPTANCE[1]:
            found.append(f"{100 * self.acceptance:.0f} % of the proposals were accepted")
        return "; ".join(found) or None

    def of(self, name: str) -> FloatArray:
        """Draws of one parameter, shape (n_draw,)."""
        return self.draws[:, self.names.index(name)]

    @property
    def best(self) -> FloatArray:
        """The most probable draw, shape (n_parameter,)."""
        return np.asarray(self.draws[int(np.argmax(self.log_probability))])


@dataclass(frozen=True)
class Estimate:
    """Median of a posterior and the distances to its 16th and 84th percentiles."""

    value: float
    minus: float
    plus: float

    @property
    def error(self) -> float:
        """Half the central 68 % interval."""
        return 0.5 * (self.minus + self.plus)


def estimate(draws: FloatArray) -> Estimate:
    """Summarise draws of one quantity, shape (n,).

    Examples
    --------
    >>> estimate(np.arange(101.0))
    Estimate(value=50.0, minus=34.0, plus=34.0)
    """
    low, middle, high = np.percentile(draws, (16.0, 50.0, 84.0))
    return Estimate(float(middle), float(middle - low), float(high - middle))


def log_mean_exp(logarithms: FloatArray) -> float:
    """Logarithm of the mean of exponentials, without overflow.

    Examples
    --------
    >>> log_mean_exp(np.array([-2000.0, -2000.0]))
    -2000.0
    """
    return float(logsumexp(logarithms) - np.log(len(logarithms)))


def sample(
    log_probability: LogProbability,
    names: Sequence[str],
    start: FloatArray,
    spread: FloatArray,
    settings: SamplerSettings | None = None,
) -> Posterior:
    """Draw from a posterior until it has converged, or the steps are used up.

    Parameters
    ----------
    log_probability : callable
        Vectorised over walkers; −inf where impossible.
    names : sequence of str
    start, spread : ndarray, shape (n_parameter,)
        Walkers start in a Gaussian about ``start``, redrawn where the probability is zero.
    settings : SamplerSettings, optional

    Returns
    -------
    Posterior
        Its property ``problem`` says what speaks against convergence.

    Raises
    ------
    UnusableDataError
        If no possible start is found.
    """
    settings = settings or SamplerSettings()
    rng = np.random.default_rng(settings.seed)
    walkers = _possible_start(log_probability, start, spread, settings.n_walker, rng)
    sampler = emcee.EnsembleSampler(
        settings.n_walker,
        len(names),
        log_probability,
        vectorize=True,
        moves=[(emcee.moves.DEMove(), 0.8), (emcee.moves.DESnookerMove(), 0.2)],
    )
    legacy = np.random.RandomState(settings.seed)
    state = emcee.State(walkers, random_state=legacy.get_state())
    time, is_settled = np.inf, False
    while not is_settled and sampler.iteration < settings.max_steps:
        steps = min(BLOCK_STEPS, settings.max_steps - sampler.iteration)
        state = sampler.run_mcmc(state, steps, skip_initial_state_check=True)
        before, time = time, _autocorrelation_steps(sampler)
        is_settled = bool(
            sampler.iteration > TIMES_IN_CHAIN * time and abs(time - before) < TIME_TOLERANCE * time
        )
    return _finish(sampler, tuple(names), time, is_settled)


def _possible_start(
    log_probability: LogProbability,
    start: FloatArray,
    spread: FloatArray,
    n_walker: int,
    rng: np.random.Generator,
) -> FloatArray:
    found = np.empty((0, len(start)))
    for _ in range(100):
        drawn = start + spread * rng.normal(size=(n_walker, len(start)))
        found = np.concatenate([found, drawn[np.isfinite(log_probability(drawn))]])
        if len(found) >= n_walker:
            return found[:n_walker]
    raise UnusableDataError(
        f"the model is impossible everywhere near its start {start}; the data hold no such event, "
        "or the priors exclude it"
    )


def _autocorrelation_steps(sampler: emcee.EnsembleSampler) -> float:
    # emcee warns of short chains, which is what the caller finds out by the answer.
    logging.getLogger("emcee.autocorr").setLevel(logging.ERROR)
    times = sampler.get_autocorr_time(tol=0)
    return float(np.max(times)) if np.isfinite(times).all() else float("inf")


def _finish(
    sampler: emcee.EnsembleSampler, names: tuple[str, ...], time: float, is_settled: bool
) -> Posterior:
    n_step = sampler.iteration
    burn_in = int(min(BURN_IN_TIMES * time, 0.5 * n_step))
    thin = max(1, int(min(0.5 * time, n_step / 20)))
    walkers = sampler.get_log_prob().shape[1]
    return Posterior(
        names=names,
        draws=np.asarray(sampler.get_chain(discard=burn_in, thin=thin, flat=True)),
        log_probability=np.asarray(sampler.get_log_prob(discard=burn_in, thin=thin, flat=True)),
        acceptance=float(np.mean(sampler.acceptance_fraction)),
        autocorrelation_steps=time,
        n_step=n_step,
        n_independent=(n_step - burn_in) * walkers / time,
        is_settled=is_settled,
    )
