"""A frame alone, compared with references whose levels are known."""

import numpy as np
import pytest

from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.provisional import KnownReferences, compare_with_known

GOOD = np.array([True])


def compared(flux, level, weight, *, order=0, error=None, flags=None, good=GOOD):
    n = len(level)
    flux = np.asarray(flux, dtype=float).reshape(n, -1)
    error = 0.01 * flux if error is None else np.asarray(error, dtype=float).reshape(n, -1)
    flags = np.zeros(flux.shape, np.uint16) if flags is None else flags
    x, y = np.arange(n, dtype=float), (7.0 * np.arange(n)) % n
    known = KnownReferences(np.asarray(level, float), np.asarray(weight, float), order)
    return compare_with_known(flux, error, flags, good, x, y, known)


def test_a_worked_frame():
    """Half of the light is lost to cloud; the last star is 10 % fainter than it should be."""
    found = compared([50.0, 100.0, 200.0, 45.0], [100.0, 200.0, 400.0, 100.0], [1, 1, 1, 0])
    assert found.flux[:, 0] == pytest.approx([1.0, 1.0, 1.0, 0.9])
    # 1 % of its own, and 1 % / √3 of the mean of three references.
    assert found.error[3, 0] == pytest.approx(0.9 * np.hypot(0.01, 0.01 / np.sqrt(3)))
    assert found.error[0, 0] == pytest.approx(np.hypot(0.01, 0.01 / np.sqrt(2)))


def test_a_reference_is_compared_with_the_others_and_weights_count():
    found = compared([1.1, 1.0, 1.0, 1.3], [1.0] * 4, [1, 2, 1, 0])  # far above the errors
    assert found.flux[0, 0] == pytest.approx(1.1)
    assert found.flux[3, 0] == pytest.approx(1.3 / ((1.1 + 2.0 + 1.0) / 4))


def test_no_star_counts_for_more_than_its_own_errors_allow():
    """Of four frames one star looked a thousand times as good as it can be."""
    found = compared([1.06, 1.0, 1.0, 1.0], [1.0] * 4, [1e9, 1e4, 1e4, 0], error=[0.01] * 4)
    assert found.flux[3, 0] == pytest.approx(1.0 / 1.02)


def test_a_gradient_over_the_field_is_followed_by_a_plane():
    n = 30
    x, y = np.arange(n, dtype=float), (7.0 * np.arange(n)) % n
    zero_point = 0.8 + 0.004 * x - 0.002 * y
    level = np.linspace(100.0, 900.0, n)
    found = compared(zero_point * level, level, [1.0] * n, order=1)
    assert found.flux[:, 0] == pytest.approx(np.ones(n), abs=1e-8)


def test_a_reference_that_is_flagged_or_missing_is_left_out():
    flags = np.zeros((4, 1), np.uint16)
    flags[0] = FluxFlag.SATURATED
    found = compared([9.0, np.nan, 2.0, 2.0], [1.0] * 4, [1, 1, 1, 0], flags=flags)
    assert found.flux[3, 0] == pytest.approx(1.0)
    assert found.flags[0, 0] & FluxFlag.SATURATED
    assert np.isnan(found.flux[1, 0])


def test_what_cannot_be_compared_is_not_a_number():
    nobody = compared([1.0, 1.0], [1.0, 1.0], [0, 0])
    assert np.isnan(nobody.flux).all()
    without_level = compared([1.0, 1.0, 1.0, 1.0], [np.nan, 1.0, 1.0, 1.0], [1, 1, 1, 1])
    assert np.isnan(without_level.flux[0, 0])
    assert without_level.flux[1, 0] == pytest.approx(1.0)


def test_a_rejected_frame_is_computed_and_flagged():
    found = compared([1.0] * 4, [1.0] * 4, [1, 1, 1, 0], good=np.array([False]))
    assert found.flux[3, 0] == pytest.approx(1.0)
    assert (found.flags & FluxFlag.FRAME_REJECTED).all()
