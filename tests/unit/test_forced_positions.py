"""Placing what a person wants measured exactly where it is."""

import numpy as np
import pytest

from tianyu.pipelines.forced_positions import place_positions, with_positions
from tianyu.pipelines.frame_rows import FrameRow
from tianyu.pipelines.science.detections import Detections
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.science.wcs import LinearWcs
from tianyu.pipelines.targets import TargetPosition, with_targets

WCS = LinearWcs(150.0, 25.0, 50.0, 50.0, -1 / 3600, 0.0, 0.0, 1 / 3600)


def frame(image_id, dx=0.0, dy=0.0, *, is_aligned=True):
    transform = AffineTransform.translation(dx, dy) if is_aligned else None
    return FrameRow(
        image_id, f"f{image_id}.fits", 100, 80, 60.0, transform, True, True, 3.0, 10.0, 1.0, 0.0
    )


def place(position, *frames, wcs=None):
    return place_positions([position], frames or (frame(1),), wcs)


def position(**values):
    return TargetPosition(target_id=7, name="N", is_forced=True, **values)


def test_a_pixel_of_a_frame_is_carried_to_the_reference():
    placed = place(position(image_id=2, x=14.0, y=8.0), frame(1), frame(2, 4.0, -2.0))
    assert (placed.target_id, placed.x, placed.y, placed.refused) == ((7,), (10.0,), (10.0,), ())


def test_coordinates_are_followed_by_the_wcs():
    """Worked by hand: 10″ north of the centre at 1″ per pixel."""
    placed = place(position(ra_deg=150.0, dec_deg=25.0 + 10 / 3600), wcs=WCS)
    assert (placed.x[0], placed.y[0]) == pytest.approx((50.0, 60.0), abs=1e-4)


def test_outside_one_frame_and_within_another_is_measured():
    """Worked by hand: x = 105 of the reference is 99 of a frame that drifted by −6."""
    assert place(position(x=105.0, y=40.0), frame(1), frame(2, -6.0)).x == (105.0,)


@pytest.mark.parametrize(
    ("x", "y", "far"),
    # The last pixel's centre is 99 and its edge 99.5; of the drifted frame these are 105.5.
    [(110.5, 40.0, "5.0"), (-10.5, 40.0, "10.0"), (108.5, 83.5, "5.0")],
)
def test_outside_all_frames_it_says_which_and_how_far(x, y, far):
    placed = place(position(x=x, y=y), frame(1), frame(2, -6.0))
    assert placed.target_id == ()
    (line,) = placed.refused
    assert line.startswith(f"position 'N' is left out: ({x:.1f}, {y:.1f}) of the reference frame")
    assert f"outside all 2 frames, {far} px beyond the edge of the nearest, f" in line


def test_without_a_wcs_coordinates_lead_nowhere():
    (line,) = place(position(ra_deg=150.0, dec_deg=25.0)).refused
    assert "no frame of the night has a WCS; give it by x, y and frame" in line


def test_in_a_frame_that_is_not_aligned_coordinates_help_or_nothing_does():
    there = {"image_id": 2, "x": 14.0, "y": 8.0}
    frames = frame(1), frame(2, is_aligned=False)
    (line,) = place(position(**there), *frames).refused
    assert "given in f2.fits, which could not be aligned; give it in another" in line
    both = position(**there, ra_deg=150.0, dec_deg=25.0)
    assert place(both, *frames, wcs=WCS).x == pytest.approx((50.0,))


def test_placed_ones_stand_last_whatever_was_detected_there():
    x = np.array([20.0])
    found = Detections(x, x, 100 * x, x, x, x, x)
    lost = TargetPosition(target_id=9, x=60.0, y=60.0)
    sources = with_targets(
        found, [lost], origin=(0, 0), shape=(100, 100), transforms={}, wcs=None, fwhm_pix=3.0
    )
    placed = place_positions([position(x=20.0, y=20.5)], [frame(1)], None)
    sources = with_positions(sources, placed)
    assert sources.x.tolist() == [20.0, 60.0, 20.0]
    assert sources.y.tolist() == [20.0, 60.0, 20.5]
    assert (sources.n_forced, sources.n_placed) == (2, 1)
    assert sources.target_of == {1: 9, 2: 7}
    assert np.isnan(sources.flux[1:]).all()
