"""From loose frames to observations."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianyu.pipelines.fits import FrameKind
from tianyu.publisher.grouping import MAX_NAME, group_frames, instrument_name
from tianyu.publisher.nights import UNKNOWN_NIGHT, guess_noon_h, local_noon_h, night_of
from tianyu.publisher.scanning import scan


def names(groups):
    return [group.name(None) for group in groups]


def test_a_night_becomes_bias_dark_flat_and_light(night_folder):
    groups = group_frames(scan([night_folder]).frames)
    camera = "2025-03-16, Simulated 0.5 m Simulated CCD, 256x256"
    assert names(groups) == [
        f"bias, {camera}", f"dark 60 s, {camera}", f"flat, r, {camera}", f"TY-SIM-1, r, {camera}"
    ]  # fmt: skip
    assert [len(group.frames) for group in groups] == [5, 3, 5, 12]
    assert groups[-1].shape == (256, 256)


def test_darks_part_by_exposure_and_flats_by_filter(scanned):
    groups = group_frames(
        [
            scanned("d1", "DARK", EXPTIME=30.0),
            scanned("d2", "DARK", EXPTIME=60.0),
            scanned("d3", "DARK", EXPTIME=30.0),
            scanned("f1", "FLAT", FILTER="g", EXPTIME=3.0),
            scanned("f2", "FLAT", FILTER="r", EXPTIME=2.0),
            scanned("f3", "FLAT", FILTER="r", EXPTIME=5.0),
        ]
    )
    assert [(g.kind, g.exposure_s, g.filter_name, len(g.frames)) for g in groups] == [
        (FrameKind.DARK, 30.0, None, 2),
        (FrameKind.DARK, 60.0, None, 1),
        (FrameKind.FLAT, None, "g", 1),
        (FrameKind.FLAT, None, "r", 2),
    ]


def test_two_exposure_times_never_share_a_name(scanned):
    """An observation of that name would hold darks of two exposures, which no master can use."""
    darks = [scanned("a", "DARK", EXPTIME=30.5), scanned("b", "DARK", EXPTIME=30.0)]
    assert len(set(names(group_frames(darks)))) == 2


def test_measured_exposures_of_one_nominal_time_stay_together(scanned):
    darks = [scanned("a", "DARK", EXPTIME=29.9998), scanned("b", "DARK", EXPTIME=30.0001)]
    assert [(g.exposure_s, len(g.frames)) for g in group_frames(darks)] == [(30.0, 2)]


def test_sizes_and_binnings_stay_apart(scanned):
    groups = group_frames(
        [
            scanned("a", shape=(16, 16)),
            scanned("b", shape=(16, 32)),
            scanned("c", shape=(8, 8), XBINNING=2, YBINNING=2),
            scanned("d", shape=(16, 16), XBINNING=2, YBINNING=2),
            scanned("e", shape=(16, 16), XBINNING=1, YBINNING=2),
        ]
    )
    assert len(groups) == len(set(names(groups))) == 5


def test_instruments_filters_and_objects_part_light_frames(scanned):
    frames = [
        scanned("a", OBJECT="M31"),
        scanned("b", OBJECT="M31", FILTER="g"),
        scanned("c", OBJECT="M31", INSTRUME="Other"),
        scanned("d", OBJECT="M33"),
    ]
    assert len(group_frames(frames)) == 4


def test_one_target_joins_what_headers_call_differently(scanned):
    frames = [scanned("a", OBJECT="HAT-P-32"), scanned("b", OBJECT="hatp32 b"), scanned("c")]
    (group,) = group_frames(frames, one_target=True)
    assert group.name("HAT-P-32") == "HAT-P-32, r, 2025-03-16, Tel Cam, 16x16"


def test_calibration_frames_are_not_parted_by_object(scanned):
    assert len(group_frames([scanned("a", "BIAS", OBJECT="x"), scanned("b", "BIAS")])) == 1


def test_a_camera_without_a_name_is_still_a_camera(scanned):
    assert instrument_name(scanned(TELESCOP=None, INSTRUME=None)) == "unknown camera"


def test_a_name_too_long_for_its_column_is_cut_and_stays_unique(scanned):
    frames = [scanned("a", TELESCOP="T" * 60, INSTRUME="I" * 60, OBJECT="O" * 66 + x) for x in "ab"]
    first, second = names(group_frames(frames))
    assert len(first) == len(second) == MAX_NAME
    assert first != second


@pytest.mark.parametrize(
    ("utc", "longitude_deg", "night"),
    [
        # Arizona, 110.9° west: noon is at 19:24 UT.
        (datetime(2017, 12, 20, 19, 23), -110.88, "2017-12-19"),
        (datetime(2017, 12, 20, 19, 24), -110.88, "2017-12-20"),
        (datetime(2017, 12, 21, 2, 0), -110.88, "2017-12-20"),
        # Eastern Australia, 149.1° east: noon is at 2:04 UT.
        (datetime(2017, 12, 20, 2, 3), 149.1, "2017-12-19"),
        (datetime(2017, 12, 20, 2, 4), 149.1, "2017-12-20"),
        (datetime(2017, 12, 20, 19, 0), 149.1, "2017-12-20"),
        # The same place counted the long way round.
        (datetime(2017, 12, 21, 2, 0), 249.12 - 360.0, "2017-12-20"),
        (datetime(2017, 12, 20, 12, 0), 0.0, "2017-12-20"),
        (datetime(2017, 12, 20, 11, 59), None, "2017-12-19"),
        (None, 149.1, UNKNOWN_NIGHT),
    ],
)
def test_a_night_reaches_from_local_noon_to_local_noon(utc, longitude_deg, night):
    assert night_of(utc, longitude_deg) == night


@given(
    longitude_deg=st.floats(-180, 180), evening_h=st.floats(0.01, 11.9), days=st.integers(0, 999)
)
def test_a_night_anywhere_is_one_night(longitude_deg, evening_h, days):
    noon = datetime(2025, 1, 1) + timedelta(days=days, hours=12.0 - longitude_deg / 15.0)
    evening, morning = noon + timedelta(hours=evening_h), noon + timedelta(hours=24 - evening_h)
    date = (datetime(2025, 1, 1) + timedelta(days=days)).date().isoformat()
    assert night_of(evening, longitude_deg) == night_of(morning, longitude_deg) == date


def test_local_noon():
    assert local_noon_h(-110.88) == pytest.approx(19.392)
    assert local_noon_h(149.1) == pytest.approx(2.06)


def test_without_a_longitude_a_californian_night_is_not_cut_at_noon_in_greenwich(scanned):
    """An exposure series from 3 to 13:20 UT."""
    frames = [
        scanned(f"light_{i:04d}", **{"DATE-OBS": f"2025-03-17T{3 + i // 6:02d}:{i % 6}0:00"})
        for i in range(63)
    ]
    (group,) = group_frames(frames)
    assert group.night == "2025-03-16"


def test_a_stated_longitude_counts_for_the_frames_of_the_camera_that_lack_it(scanned):
    """19 UT is before noon in Arizona: elsewhere the bias would be of the next night."""
    light = scanned("a", SITELONG=-110.88, SITELAT=31.7, DATE_OBS="2025-03-17T05:00:00")
    bias = scanned("b", "BIAS", DATE_OBS="2025-03-17T19:00:00")
    assert [group.night for group in group_frames([light, bias])] == ["2025-03-16"] * 2


def test_a_person_knows_the_longitude_better_than_the_header(scanned):
    frame = scanned(SITELONG=-110.88, SITELAT=31.7, DATE_OBS="2025-03-17T19:00:00")
    assert group_frames([frame])[0].night == "2025-03-16"
    assert group_frames([frame], longitude_deg=149.1)[0].night == "2025-03-17"


def test_two_nights_are_two_observations(scanned):
    first = scanned("a", DATE_OBS="2025-03-17T02:50:00")
    second = scanned("b", DATE_OBS="2025-03-18T02:50:00")
    assert len(group_frames([first, second])) == 2


def test_noon_is_guessed_where_no_frame_was_taken():
    assert guess_noon_h([]) == 12.0
    assert guess_noon_h([datetime(2025, 1, 1, 12)]) == 0.0
    tahiti = [datetime(2025, 1, day, hour) for day in (1, 2) for hour in (5, 8, 11, 14)]
    assert guess_noon_h(tahiti) == 21.5
