"""The likeliest variables of a run, with reasons: records, tables and false-alarm levels."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tianyu.cli.queries.run_curves import RunCurves
from tianyu.pipelines.science.arrays import IntArray
from tianyu.pipelines.science.periods import period_grid, shuffled_peaks
from tianyu.pipelines.science.variables import (
    VariabilityTests,
    measure_variability,
    rank_variables,
    reasons,
    shared_with,
    without_nightly_lines,
)

N_SHUFFLE = 199
"""Shuffled curves per candidate: false-alarm rates down to 0.5 %."""
BLOCK_DAYS = 0.02
"""Half an hour: what is correlated for longer is not noise but variation, or a trend."""
ECHO_FWHM = 6.0
"""How far, in widths of the stars, light of a variable reaches into others' apertures."""
SEARCHED_FOR_ECHOES = 200


@dataclass(frozen=True)
class Candidate:
    """One source that varies; numbers as in ``VariabilityTests``."""

    rank: int
    source_id: int
    name: str | None
    x: float
    y: float
    ra_deg: float
    dec_deg: float
    mean_flux: float
    score: float
    scatter: float
    excess_like: float
    excess_noise: float
    von_neumann: float
    stetson_j: float
    stetson_i: float
    event_mid_time: float
    event_duration_h: float
    event_depth: float
    event_snr: float
    event_false_alarm: float
    """Fraction of like-bright stars with as significant a brightening; 1 in N + 1 at least."""
    period_h: float
    power: float
    period_false_alarm: float
    """Of shuffled half-hour blocks; holds for noise correlated over less."""
    period_false_alarm_white: float
    """Baluev's, for white noise alone: a lower limit."""
    box_period_h: float
    box_depth: float
    box_snr: float
    echo_of: int | None
    """Source whose variation this one shares, as its near neighbour."""
    reasons: list[str]


@dataclass(frozen=True, eq=False)
class CandidateList:
    """The candidates, and what they were chosen from.

    Attributes
    ----------
    rows : ndarray of int, shape (n_candidate,)
        Row of each candidate in the curves.
    n_searched : int
        Sources with enough points.
    """

    candidates: list[Candidate]
    rows: IntArray
    n_searched: int
    tests: VariabilityTests


def find_candidates(curves: RunCurves, n: int, seed: int) -> CandidateList:
    """Rank all light curves of a run; sources that only echo a neighbour come last.

    Parameters
    ----------
    curves : RunCurves
    n : int
        How many to describe.
    seed : int
        Of the shuffled curves.
    """
    tests = measure_variability(curves.time, curves.flux, curves.error, curves.mean_flux)
    order = rank_variables(tests)
    reach = ECHO_FWHM * float(np.nanmedian(curves.fwhm_pix))
    leading = order[: max(SEARCHED_FOR_ECHOES, 2 * n)]
    echoes = shared_with(leading, curves.flux, curves.x, curves.y, reach)
    own = [int(i) for i in order if int(i) not in echoes]
    rows = np.array((own + [int(i) for i in leading if int(i) in echoes])[:n], dtype=np.int64)
    candidates = [
        _describe(curves, tests, rank, int(i), echoes, np.random.default_rng([seed, int(i)]))
        for rank, i in enumerate(rows, start=1)
    ]
    return CandidateList(candidates, rows, len(order), tests)


def _describe(
    curves: RunCurves,
    tests: VariabilityTests,
    rank: int,
    i: int,
    echoes: dict[int, int],
    rng: np.random.Generator,
) -> Candidate:
    peaks, event = tests.peaks, tests.event
    echo = echoes.get(i)
    said = reasons(tests, i)
    if echo is not None:
        distance = float(np.hypot(curves.x[i] - curves.x[echo], curves.y[i] - curves.y[echo]))
        said.insert(0, f"shares the variation of source {curves.source_id[echo]}, "
                       f"{distance:.0f} px away")  # fmt: skip
    return Candidate(
        rank=rank,
        source_id=int(curves.source_id[i]),
        name=curves.name[i] or None,
        x=float(curves.x[i]),
        y=float(curves.y[i]),
        ra_deg=float(curves.ra_deg[i]),
        dec_deg=float(curves.dec_deg[i]),
        mean_flux=float(curves.mean_flux[i]),
        score=float(tests.score[i]),
        scatter=float(tests.scatter.mad[i]),
        excess_like=float(tests.excess_like[i]),
        excess_noise=float(tests.scatter.ratio[i]),
        von_neumann=float(tests.scatter.eta[i]),
        stetson_j=float(tests.stetson_j[i]),
        stetson_i=float(tests.stetson_i[i]),
        event_mid_time=float(event.mid_time[i]),
        event_duration_h=24.0 * float(event.duration[i]),
        event_depth=float(event.depth[i]),
        event_snr=float(event.snr[i]),
        event_false_alarm=float(tests.event_false_alarm[i]),
        period_h=24.0 * float(peaks.period[i]),
        power=float(peaks.power[i]),
        period_false_alarm=_shuffled_alarm(curves, tests, i, rng),
        period_false_alarm_white=float(peaks.white_false_alarm[i]),
        box_period_h=24.0 * float(peaks.box_period[i]),
        box_depth=float(peaks.box_depth[i]),
        box_snr=float(peaks.box_snr[i]),
        echo_of=None if echo is None else int(curves.source_id[echo]),
        reasons=said,
    )


def _shuffled_alarm(
    curves: RunCurves, tests: VariabilityTests, i: int, rng: np.random.Generator
) -> float:
    flat = 1.0 + without_nightly_lines(curves.time, curves.flux[i : i + 1])[0]
    peaks = shuffled_peaks(
        curves.time, flat, curves.error[i], period_grid(curves.time),
        block_days=BLOCK_DAYS, n_shuffle=N_SHUFFLE, rng=rng,
    )  # fmt: skip
    return float((1 + np.count_nonzero(peaks >= tests.peaks.power[i])) / (1 + N_SHUFFLE))


def index_table(curves: RunCurves, found: CandidateList) -> dict[str, Any]:
    """Return the indices of every source as columns, in the order of the sources."""
    tests = found.tests
    return {
        "source_id": curves.source_id,
        "source_name": curves.name,
        "x": curves.x,
        "y": curves.y,
        "mean_flux": curves.mean_flux,
        "score": tests.score,
        "scatter": tests.scatter.mad,
        "expected_scatter": tests.scatter.expected,
        "like_scatter": tests.like_scatter,
        "von_neumann": tests.scatter.eta,
        "stetson_j": tests.stetson_j,
        "stetson_i": tests.stetson_i,
        "event_mid_time": tests.event.mid_time,
        "event_duration_day": tests.event.duration,
        "event_depth": tests.event.depth,
        "event_snr": tests.event.snr,
        "event_false_alarm": tests.event_false_alarm,
        "red_noise_factor": tests.event.red_noise_factor,
        "period_day": tests.peaks.period,
        "power": tests.peaks.power,
        "period_false_alarm_white": tests.peaks.white_false_alarm,
        "box_period_day": tests.peaks.box_period,
        "box_depth": tests.peaks.box_depth,
        "box_snr": tests.peaks.box_snr,
        "amplitude_sigmas": tests.amplitude_sigmas,
        "eta_sigmas": tests.eta_sigmas,
        "stetson_sigmas": tests.stetson_sigmas,
        "event_sigmas": tests.event_sigmas,
        "box_sigmas": tests.box_sigmas,
        "sinusoid_sigmas": tests.sinusoid_sigmas,
    }
