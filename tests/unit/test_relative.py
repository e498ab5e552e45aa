import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.groups import ReferenceStars
from tianyu.pipelines.science.relative import compare_with_groups, mark, reference_means

N_STAR, N_FRAME = 6, 50


def references(n_star=N_STAR, n_reference=4, *, borrowed=False):
    """One group; the first stars are its references."""
    return ReferenceStars(
        group=np.zeros(n_star, dtype=np.int64),
        serves=(np.arange(n_star) < n_reference)[None, :],
        has_borrowed=np.array([borrowed]),
        snr=np.zeros(1),
    )


@pytest.fixture
def night():
    """Constant stars behind a varying transparency: relative flux is 1 throughout."""
    rng = np.random.default_rng(7)
    transparency = rng.uniform(0.4, 1.0, N_FRAME)
    mean = np.array([1000.0, 700.0, 2000.0, 400.0, 900.0, 50.0])
    flux = mean[:, None] * transparency
    flags = np.zeros(flux.shape, dtype=np.uint16)
    return flux, np.sqrt(flux), flags, np.ones(N_FRAME, dtype=bool), transparency


def test_transparency_cancels(night):
    flux, error, flags, good, _ = night
    relative = compare_with_groups(flux, error, flags, good, references())
    np.testing.assert_allclose(relative.flux, 1.0, rtol=1e-12)
    assert not relative.flags.any()
    assert relative.is_reference.tolist() == [True] * 4 + [False] * 2


def test_the_scale_is_the_published_relative_flux(night):
    flux, error, flags, good, _ = night
    relative = compare_with_groups(flux, error, flags, good, references())
    # Eq. 4 for a target: 4·900/4100; eq. 5 for a reference: 3·1000/3100.
    assert relative.scale[4] == pytest.approx(3600 / 4100)
    assert relative.scale[0] == pytest.approx(3000 / 3100)


def test_the_error_holds_the_stars_noise_and_that_of_its_references(night):
    flux, error, flags, good, _ = night
    relative = compare_with_groups(flux, error, flags, good, references())
    target = np.hypot(error[4] / flux[4], np.sqrt(flux[:4].sum(axis=0)) / flux[:4].sum(axis=0))
    np.testing.assert_allclose(relative.error[4], target)
    others = flux[1:4].sum(axis=0)
    np.testing.assert_allclose(
        relative.error[0], np.hypot(error[0] / flux[0], np.sqrt(others) / others)
    )


def test_the_error_predicts_the_scatter():
    rng = np.random.default_rng(3)
    mean = np.array([1e4, 2e4, 1.5e4, 3e4, 2e4, 5e3])[:, None]
    flux = mean + np.sqrt(mean) * rng.normal(size=(N_STAR, 4000))
    error, flags = np.sqrt(mean) * np.ones_like(flux), np.zeros(flux.shape, dtype=np.uint16)
    relative = compare_with_groups(flux, error, flags, np.ones(4000, bool), references())
    ratio = relative.flux.std(axis=1) / relative.error.mean(axis=1)
    assert ratio == pytest.approx(np.ones(N_STAR), abs=0.05)


@pytest.mark.parametrize("how", ["nan", "flag"])
@pytest.mark.parametrize("with_transparency", [True, False])
def test_a_missing_reference_does_not_make_the_others_jump(night, how, with_transparency):
    flux, error, flags, good, transparency = night
    if how == "nan":
        flux[2, 10:13] = np.nan  # the brightest: half of the references' light
    else:
        flux[2, 10:13], flags[2, 10:13] = 1e6, FluxFlag.MASKED_PIXEL
    guess = transparency if with_transparency else None
    relative = compare_with_groups(flux, error, flags, good, references(), guess)
    others = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(relative.flux[others], 1.0, rtol=2e-3)
    if how == "nan":
        assert np.isnan(relative.flux[2, 10:13]).all()


def test_a_wrong_transparency_hardly_matters(night):
    flux, error, flags, good, transparency = night
    flux[2, 10:13] = np.nan
    wrong = transparency * np.linspace(0.8, 1.2, N_FRAME)
    relative = compare_with_groups(flux, error, flags, good, references(), wrong)
    np.testing.assert_allclose(relative.flux[[0, 1, 3, 4, 5]], 1.0, rtol=2e-3)


def test_the_nan_of_a_target_stays_with_it(night):
    flux, error, flags, good, _ = night
    flux[5] = np.nan
    relative = compare_with_groups(flux, error, flags, good, references())
    assert np.isnan(relative.flux[5]).all()
    np.testing.assert_allclose(relative.flux[:5], 1.0)


def test_rejected_frames_are_computed_flagged_and_do_not_set_the_scale(night):
    flux, error, flags, good, _ = night
    good[:30] = False
    flux[4, :30] *= 3.0
    relative = compare_with_groups(flux, error, flags, good, references())
    np.testing.assert_allclose(relative.flux[4, :30], 3.0)
    np.testing.assert_allclose(relative.flux[4, 30:], 1.0)
    assert (relative.flags[:, :30] == FluxFlag.FRAME_REJECTED).all()
    assert not relative.flags[:, 30:].any()


def test_stars_of_a_group_that_borrowed_are_flagged(night):
    flux, error, flags, good, _ = night
    relative = compare_with_groups(flux, error, flags, good, references(borrowed=True))
    assert (relative.flags == FluxFlag.FEW_REFERENCES).all()


def test_a_single_reference_has_nothing_to_be_compared_with(night):
    flux, error, flags, good, _ = night
    relative = compare_with_groups(flux, error, flags, good, references(n_reference=1))
    assert np.isnan(relative.flux[0]).all()
    np.testing.assert_allclose(relative.flux[1:], 1.0)


def test_a_frame_without_any_reference_is_not_measured(night):
    flux, error, flags, good, _ = night
    flux[:4, 8] = np.nan
    relative = compare_with_groups(flux, error, flags, good, references())
    assert np.isnan(relative.flux[:, 8]).all()
    np.testing.assert_allclose(np.delete(relative.flux, 8, axis=1), 1.0)


def test_a_borrowed_reference_is_left_out_only_of_its_own_group(night):
    flux, error, flags, good, _ = night
    serves = np.array([[1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0]], dtype=bool)
    split = ReferenceStars(np.array([0, 0, 1, 1, 1, 1]), serves, np.zeros(2, bool), np.zeros(2))
    relative = compare_with_groups(flux, error, flags, good, split)
    # Star 0 against star 1; star 2 against 0 and 1; star 3 against all three.
    assert relative.scale[[0, 2, 3]] == pytest.approx([1000 / 700, 4000 / 1700, 1200 / 3700])


def test_the_callers_arrays_are_not_changed(night):
    flux, error, flags, good, transparency = night
    before = [array.copy() for array in night]
    flux[2, 3] = np.nan
    before[0][2, 3] = np.nan
    compare_with_groups(flux, error, flags, good, references(), transparency)
    for now, then in zip(night, before, strict=True):
        np.testing.assert_array_equal(now, then)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.01, 100.0))
def test_any_common_factor_per_frame_cancels(seed, factor):
    rng = np.random.default_rng(seed)
    flux = rng.uniform(100.0, 1000.0, (N_STAR, N_FRAME))
    error, flags = np.sqrt(flux), np.zeros(flux.shape, dtype=np.uint16)
    cloud = factor * rng.uniform(0.1, 1.0, N_FRAME)
    good = np.ones(N_FRAME, dtype=bool)
    clear = compare_with_groups(flux, error, flags, good, references())
    cloudy = compare_with_groups(flux * cloud, error * cloud, flags, good, references())
    np.testing.assert_allclose(cloudy.flux, clear.flux)
    np.testing.assert_allclose(cloudy.error, clear.error)


def test_means_are_on_one_scale_although_epochs_are_missing(night):
    flux, _, _, good, _ = night
    usable = np.ones(flux.shape, dtype=bool)
    usable[0, :2] = False
    usable[3, 5:7] = False
    means = reference_means(flux, usable, good)
    assert means / means[2] == pytest.approx(flux[:, 20] / flux[2, 20], rel=2e-3)


def test_marks_add_to_the_flags_there_are():
    flags = np.array([[FluxFlag.BLENDED, 0]], dtype=np.uint16)
    marked = mark(flags, np.array([True, False]), np.array([True]))
    assert marked.tolist() == [
        [FluxFlag.BLENDED | FluxFlag.FEW_REFERENCES, FluxFlag.FEW_REFERENCES | 128]
    ]
    assert marked.dtype == np.uint16
