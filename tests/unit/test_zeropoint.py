"""Zero points: injected ones are recovered through outliers, colours and stars that leave."""

import numpy as np
import pytest

from tianyu.pipelines.science.zeropoint import fit_zero_point, zero_points_of_frames


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(6)


def test_an_injected_zero_point_through_variables_and_mistaken_stars(rng) -> None:
    catalogue = rng.uniform(9.0, 13.0, 60)
    instrumental = catalogue - 20.5 + rng.normal(0.0, 0.03, 60)
    instrumental[:8] -= rng.uniform(0.5, 3.0, 8)
    fit = fit_zero_point(instrumental, catalogue)
    assert fit is not None
    assert fit.zero_point == pytest.approx(20.5, abs=4 * fit.error)
    assert fit.scatter == pytest.approx(0.03, rel=0.4)
    assert 48 <= fit.n_stars <= 52


def test_a_colour_term(rng) -> None:
    colour = rng.uniform(0.2, 2.0, 50)
    catalogue = rng.uniform(9.0, 13.0, 50)
    instrumental = catalogue - 20.5 - 0.15 * (colour - 1.0) + rng.normal(0.0, 0.01, 50)
    plain, fit = fit_zero_point(instrumental, catalogue), fit_zero_point(instrumental, catalogue,
                                                                         colour)  # fmt: skip
    assert plain is not None
    assert fit is not None
    assert fit.colour_term == pytest.approx(0.15, abs=0.015)
    assert fit.scatter < plain.scatter / 3
    magnitude = instrumental + fit.zero_point + fit.correction(colour)
    assert np.median(np.abs(magnitude - catalogue)) < 0.02
    assert fit.correction(np.array([np.nan])).tolist() == [0.0]


def test_too_few_stars_make_none() -> None:
    assert fit_zero_point(np.array([1.0, np.nan, 2.0]), np.array([1.0, 1.0, np.nan])) is None


def test_a_star_that_leaves_does_not_move_the_zero_point(rng) -> None:
    """Stars of constants of ± 0.2 mag: half of them leave the field in mid-night."""
    truth = 20.0 - 0.3 * np.sin(np.linspace(0.0, 3.0, 40))
    catalogue, constant = rng.uniform(9.0, 13.0, 12), rng.normal(0.0, 0.2, 12)
    instrumental = (catalogue + constant)[:, None] - truth + rng.normal(0.0, 0.005, (12, 40))
    instrumental[:6, 20:] = np.nan
    found = zero_points_of_frames(instrumental, catalogue)
    left = found.zero_point - truth
    assert np.std(left) < 0.005
    # As a whole it is as good as the stars' constants allow: 0.2 mag / √12 of a median.
    assert abs(np.mean(left)) < 0.2
    assert found.n_stars.tolist() == [12] * 20 + [6] * 20
    assert np.median(found.error) < 0.005
    assert 0.1 < np.median(found.scatter) < 0.35


def test_a_frame_without_stars_has_none() -> None:
    instrumental = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, 3.0]])
    found = zero_points_of_frames(instrumental, np.array([21.0, 22.0, 23.0]))
    assert found.zero_point[0] == 20.0
    assert np.isnan(found.zero_point[1])
