"""Limb-darkened light curves against closed forms and another program's numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianyu.pipelines.science.limbdark import from_kipping, limb_darkened_flux

Z = np.array([0.0, 0.05, 0.1, 0.3, 0.5, 0.8, 0.85, 0.9, 0.95, 0.999, 1.0, 1.05, 1.1, 1.149, 1.2])

# Closed form of Mandel & Agol (2002) as batman 2.5 computes it.
BATMAN = {
    (0.1, 0.4, 0.26): [
        0.987866443, 0.987872599, 0.987891164, 0.988099741, 0.988583821, 0.99037786, 0.9909748,
        0.991830523, 0.994033343, 0.996589733, 0.99663994, 0.998848779, 1.0, 1.0, 1.0,
    ],
    (0.15, 0.35, 0.2): [
        0.973581948, 0.973593832, 0.973629673, 0.974031318, 0.974958018, 0.978403855, 0.979632009,
        0.982869253, 0.987097645, 0.991333289, 0.991417173, 0.99533282, 0.998407424, 0.999996216,
        1.0,
    ],
    (0.05, 0.6, -0.1): [
        0.996939924, 0.996942223, 0.996949132, 0.997023954, 0.997180771, 0.997627302, 0.997743176,
        0.997883561, 0.99807477, 0.999096623, 0.999120672, 1.0, 1.0, 1.0, 1.0,
    ],
    (0.3, 0.2, 0.3): [
        0.89860018, 0.898630652, 0.898723014, 0.899802834, 0.902592374, 0.924028246, 0.933339309,
        0.943064252, 0.952830594, 0.962163813, 0.962350149, 0.971376331, 0.979679281, 0.986889602,
        0.993152354,
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", BATMAN)
def test_agrees_with_the_closed_form(case):
    k, u1, u2 = (np.full(Z.shape, value) for value in case)
    np.testing.assert_allclose(limb_darkened_flux(Z, k, u1, u2), BATMAN[case], atol=3e-7)


def test_a_uniform_star_loses_the_area_of_overlap_of_two_discs():
    k, z = 0.2, np.linspace(0.81, 1.19, 30)
    # The lens of two circles.
    a = np.arccos((z**2 + k**2 - 1.0) / (2.0 * z * k))
    b = np.arccos((z**2 + 1.0 - k**2) / (2.0 * z))
    corner = (1 + k - z) * (1 + z - k) * (z + k - 1) * (1 + z + k)
    lens = k**2 * a + b - 0.5 * np.sqrt(corner)
    zero = np.zeros_like(z)
    np.testing.assert_allclose(
        limb_darkened_flux(z, zero + k, zero, zero), 1.0 - lens / np.pi, atol=1e-9
    )


def test_agrees_with_a_star_of_a_million_pixels():
    x = (np.arange(1200) + 0.5) / 600.0 - 1.0
    r2 = x**2 + x[:, None] ** 2
    mu = np.sqrt(np.clip(1.0 - r2, 0.0, 1.0))
    star = np.where(r2 < 1.0, 1.0 - 0.45 * (1.0 - mu) - 0.2 * (1.0 - mu) ** 2, 0.0)
    for z in (0.0, 0.4, 0.95):
        hidden = star[(x - z) ** 2 + x[:, None] ** 2 < 0.13**2].sum() / star.sum()
        flux = limb_darkened_flux(*(np.array([v]) for v in (z, 0.13, 0.45, 0.2)))
        assert 1.0 - flux[0] == pytest.approx(hidden, rel=2e-3)


@settings(max_examples=60, deadline=None)
@given(
    k=st.floats(0.0, 0.9), q1=st.floats(0.0, 1.0), q2=st.floats(0.0, 1.0),
    z=st.floats(0.0, 2.5), step=st.floats(0.0, 0.3),
)  # fmt: skip
def test_flux_is_a_fraction_and_grows_with_the_distance(k, q1, q2, z, step):
    u1, u2 = from_kipping(np.full(2, q1), np.full(2, q2))
    near, far = limb_darkened_flux(np.array([z, z + step]), np.full(2, k), u1, u2)
    assert -1e-9 <= near <= far + 1e-7
    assert far <= 1.0 + 1e-9
