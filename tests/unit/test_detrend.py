"""Slow trends: what follows a measured term goes, events stay."""

from dataclasses import dataclass

import numpy as np
import pytest

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.detrend import Detrending, constant_like_stars, detrend

N_STAR, N_FRAME = 41, 240


@dataclass
class Night:
    """Five hours at a cadence of 75 s, least airmass in the middle; trends of every star."""

    time: FloatArray
    airmass: FloatArray
    clean: FloatArray
    slope: FloatArray
    signal: FloatArray
    mean_flux: FloatArray

    @property
    def trend(self) -> FloatArray:
        return self.slope[:, None] * (self.airmass - np.median(self.airmass))

    @property
    def flux(self) -> FloatArray:
        return self.clean * (1.0 + self.trend)

    def detrend(self, **terms: FloatArray) -> Detrending:
        terms = {"airmass": self.airmass[None, :, None], **terms}
        return detrend(self.time, self.flux, self.mean_flux, terms, 0)


def a_night(
    noise: float = 0.003, slope: float = 0.03, spread: float = 0.01, seed: int = 1
) -> Night:
    rng = np.random.default_rng(seed)
    time = np.linspace(0.0, 5.0 / 24.0, N_FRAME)
    airmass = 1.05 + 0.6 * ((time - time.mean()) / time.mean()) ** 2
    return Night(
        time, airmass,
        clean=1.0 + noise * rng.standard_normal((N_STAR, N_FRAME)),
        slope=slope + spread * rng.standard_normal(N_STAR),
        signal=np.ones(N_FRAME),
        mean_flux=1000.0 * np.exp(0.1 * rng.standard_normal(N_STAR)),
    )  # fmt: skip


def with_transit(night: Night, depth: float = 0.02, hours: float = 2.0) -> Night:
    """A trapezoid at the least airmass, where a parabola in time imitates it best."""
    distance = np.abs(night.time - night.time.mean()) * 24.0
    night.signal = 1.0 - depth * np.clip((0.5 * hours - distance) / 0.3, 0.0, 1.0)
    night.clean[0] = night.clean[0] * night.signal
    return night


def depth_of(night: Night, flux: FloatArray) -> float:
    """Depth by least squares: of noise and transit, so that only the trend makes a difference."""
    shape = 1.0 - night.signal
    return float(-np.polyfit(shape / shape.max(), flux / np.median(flux[shape == 0]), 1)[0])


def test_an_injected_slope_is_recovered_within_its_error() -> None:
    night = a_night()
    found = night.detrend()
    error = 0.003 / np.sqrt(N_FRAME) / night.airmass.std()
    assert found.coefficients["airmass"] == pytest.approx([night.slope[0]], abs=3 * error)
    assert found.references["airmass"] == pytest.approx([np.median(night.airmass)])
    assert found.event is None


def test_it_is_reversible_and_leaves_white_noise() -> None:
    night = a_night()
    found = night.detrend()
    rest = night.flux[0] / (1.0 + found.trend)
    assert rest * (1.0 + found.trend) == pytest.approx(night.flux[0], rel=1e-12)
    by_hand = found.coefficients["airmass"][0] * (night.airmass - found.references["airmass"][0])
    assert found.trend == pytest.approx(by_hand, abs=1e-12)
    assert rest.std() == pytest.approx(night.clean[0].std(), rel=0.02)


@pytest.mark.parametrize("slope", [0.03, -0.03])
@pytest.mark.parametrize(
    ("noise", "hours"),
    [(0.002, 1.0), (0.002, 2.0), (0.002, 3.0), (0.005, 1.0), (0.005, 2.0)],
)
def test_a_transit_of_two_percent_keeps_its_depth(slope: float, noise: float, hours: float) -> None:
    """Within 5 %, where the noise lets a trend and a depth be told apart to that."""
    night = with_transit(a_night(noise, slope), hours=hours)
    found = night.detrend()
    assert found.event is not None
    kept = depth_of(night, night.flux[0] / (1.0 + found.trend))
    assert kept == pytest.approx(depth_of(night, night.clean[0]), abs=0.05 * 0.02)


def test_without_the_event_in_the_fit_the_same_transit_would_lose_much() -> None:
    night = with_transit(a_night(0.002), hours=3.0)
    x = night.airmass - np.median(night.airmass)
    plain = np.polyfit(x, night.flux[0], 1)[0]
    assert depth_of(night, night.flux[0] / (1.0 + plain * x)) < 0.6 * 0.02


def test_a_star_that_varies_all_night_keeps_its_variation() -> None:
    night = a_night(spread=0.003)
    signal = 1.0 + 0.05 * np.cos(2 * np.pi * (night.time - night.time.mean()) / (4.0 / 24.0))
    night.clean[0] = night.clean[0] * signal
    rest = night.flux[0] / (1.0 + night.detrend().trend)
    kept = np.polyfit(signal, rest, 1)[0]
    assert kept == pytest.approx(1.0, abs=0.1)
    x = night.airmass - np.median(night.airmass)
    plain = night.flux[0] / (1.0 + np.polyfit(x, night.flux[0], 1)[0] * x)
    assert abs(np.polyfit(signal, plain, 1)[0] - 1.0) > 0.2


def test_a_term_that_other_stars_do_not_follow_is_refused() -> None:
    night = with_transit(a_night(slope=0.0, spread=0.0))
    # Made of the transit itself: a plain fit would take all of it out.
    found = night.detrend(sky=night.signal[None, :, None])
    assert [v.is_used for v in found.verdicts] == [False, False]
    assert all(v.ratio > 0.99 for v in found.verdicts)
    assert np.all(found.trend == 0.0)


def test_only_the_terms_that_help_are_used() -> None:
    night = a_night()
    fwhm = np.random.default_rng(5).normal(2.5, 0.3, N_FRAME)
    found = night.detrend(fwhm=fwhm[None, :, None], sky=np.full((1, N_FRAME, 1), 300.0))
    verdicts = {v.name: v for v in found.verdicts}
    assert verdicts["airmass"].is_used
    assert verdicts["airmass"].ratio < 0.8
    assert not verdicts["fwhm"].is_used
    # What does not change cannot make a trend.
    assert not verdicts["sky"].is_used
    assert np.isnan(verdicts["sky"].ratio)


def test_each_star_may_have_its_own_places() -> None:
    night = a_night(slope=0.0, spread=0.0)
    rng = np.random.default_rng(3)
    drift = np.cumsum(rng.standard_normal((N_FRAME, 2)), axis=0) / 5.0
    places = rng.uniform(0, 1000, (N_STAR, 1, 2)) + drift
    gradient = rng.normal(0.0, 0.01, (N_STAR, 2))
    moved = np.einsum("fc,sc->sf", drift - np.median(drift, axis=0), gradient)
    flux = night.clean * (1.0 + moved)
    found = detrend(night.time, flux, night.mean_flux, {"position": places}, 0)
    assert found.coefficients["position"] == pytest.approx(gradient[0], abs=0.001)


def test_a_column_that_does_not_change_leaves_the_others() -> None:
    night = a_night()
    places = np.stack([night.airmass, np.full(N_FRAME, 0.1)], axis=1)[None]
    found = detrend(night.time, night.flux, night.mean_flux, {"position": places}, 0)
    assert found.coefficients["position"] == pytest.approx([night.slope[0], 0.0], abs=0.004)


def test_a_frame_without_the_term_has_no_trend() -> None:
    night = a_night()
    night.airmass[7] = np.nan
    flux = np.where(np.isnan(night.airmass), 1.0, night.clean)
    terms = {"airmass": night.airmass[None, :, None]}
    slope = np.nan_to_num(0.03 * (night.airmass - 1.2))
    found = detrend(night.time, flux * (1 + slope), night.mean_flux, terms, 0)
    assert np.flatnonzero(np.isnan(found.trend)).tolist() == [7]


def test_a_variable_star_is_no_judge() -> None:
    night = a_night()
    night.clean[5] += 0.1 * np.sin(40.0 * np.arange(N_FRAME))
    judges = constant_like_stars(night.flux, night.mean_flux, 0)
    assert not {0, 5} & set(judges.tolist())
    assert judges.size >= 35


def test_too_few_points_or_stars_are_refused_in_words() -> None:
    night = a_night()
    terms = {"airmass": night.airmass[None, :, None]}
    with pytest.raises(UnusableDataError, match="20 good points have all of airmass"):
        detrend(night.time[:20], night.flux[:, :20], night.mean_flux,
                {"airmass": terms["airmass"][:, :20]}, 0)  # fmt: skip
    with pytest.raises(UnusableDataError, match="5 constant stars are of like brightness"):
        detrend(night.time, night.flux[:6], night.mean_flux[:6], terms, 0)
    night.mean_flux[0] = -1.0
    with pytest.raises(UnusableDataError, match="mean flux is -1"):
        night.detrend()
