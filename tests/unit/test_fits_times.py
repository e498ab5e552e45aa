"""The start of an exposure: every way of writing it, and which one is believed."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianyu.pipelines.fits.cards import Cards
from tianyu.pipelines.fits.times import StartTime, read_start_time
from tianyu.pipelines.fits.timescales import to_utc
from tianyu.pipelines.fits.timestamps import parse_clock, parse_day_count, parse_timestamp

START = datetime(2017, 12, 20, 4, 15, 12, 925000)


def start_of(header: dict[str, object], exposure_s: float = 60.0, **comments: str) -> StartTime:
    spelled = {key.replace("_", "-"): text for key, text in comments.items()}
    return read_start_time(Cards.of(header, spelled), exposure_s)


@pytest.mark.parametrize(
    ("header", "precision_s"),
    [
        ({"DATE-OBS": "2017-12-19T21:15:12.925-0700"}, 1e-3),
        ({"DATE-OBS": "2017-12-20T04:15:12.925"}, 1e-3),
        ({"DATE-OBS": "2017-12-20T04:15:12.925Z"}, 1e-3),
        ({"DATE-OBS": "2017-12-20 04:15:12.925"}, 1e-3),
        ({"DATE-OBS": "2017-12-20T09:45:12.925+05:30"}, 1e-3),
        ({"DATE-OBS": "2017-12-20", "TIME-OBS": "04:15:12.925"}, 1e-3),
        ({"DATE-OBS": "20/12/17", "UT": "04:15:12.925"}, 1e-3),
        ({"DATE-OBS": "2017-12-20T00:00:00", "UTC-OBS": "04:15:12.925"}, 1e-3),
        ({"DATE": "20/12/17", "TIME-OBS": "04:15:12.925"}, 1e-3),
        ({"UT-OBS": "2017-12-20T04:15:12.925-0000"}, 1e-3),
        ({"DATE-BEG": "2017-12-20T04:15:12.925"}, 1e-3),
        # 37 leap seconds in December 2017, and 32.184 s from TAI to TT.
        ({"DATE-OBS": "2017-12-20T04:15:49.925", "TIMESYS": "TAI"}, 1e-3),
        ({"DATE-OBS": "2017-12-20T04:16:22.109", "TIMESYS": "TT"}, 1e-3),
        ({"DATE-AVG": "2017-12-20T04:15:42.925"}, 1e-3),
        ({"DATE-END": "2017-12-20T04:16:12.925"}, 1e-3),
    ],
)
def test_one_moment_written_in_many_ways(header, precision_s):
    start = start_of(header)
    assert start.utc == START
    assert start.precision_s == pytest.approx(precision_s)


def test_a_julian_date_is_read_to_its_digits():
    # 2017-12-20 04:15:12.925 is 0.6772329 of a Julian day that began at noon.
    start = start_of({"JD": 2458107.677232928})
    assert abs(start.utc - START) < timedelta(milliseconds=0.1)
    start = start_of({"MJD-OBS": "58107.17723292824"})
    assert abs(start.utc - START) < timedelta(milliseconds=0.1)


def test_a_coarse_time_is_used_last():
    start = start_of({"MJD-OBS": 58107.177, "DATE-OBS": "2017-12-20T04:15:12.925"})
    assert (start.utc, start.source, start.notes) == (START, "DATE-OBS", ())


def test_a_coarse_time_alone_is_used_and_said_to_be_coarse():
    start = start_of({"MJD-OBS": 58107.177})
    assert start.utc == datetime(2017, 12, 20, 4, 14, 52, 800000)
    assert start.precision_s == 86.4
    assert start.notes == (
        "the start is known to 86.4 s only, from MJD-OBS: there is no finer time",
    )


def test_local_time_without_zone_gives_way_to_universal_time():
    start = start_of({"DATE-OBS": "2017-12-19T21:15:12.925", "UT-OBS": "2017-12-20T04:15:12.925"})
    assert start.utc == START
    assert start.notes == (
        "DATE-OBS is -7.00 h from UT-OBS: it is local time, and that was taken off",
    )


def test_local_date_with_universal_time_of_day_crosses_midnight():
    start = start_of({"DATE-OBS": "2017-12-19T21:15:12.925-0700", "UT": "04:15:12"})
    assert (start.utc, start.notes) == (START, ())


def test_even_a_coarse_date_unmasks_local_time_whose_digits_are_then_used():
    start = start_of({"DATE-OBS": "2017-12-19T21:15:12.925", "MJD-OBS": 58107.177})
    assert (start.utc, start.source) == (START, "DATE-OBS")
    assert start.notes[0].startswith("DATE-OBS is -7.00 h from MJD-OBS: it is local time")


def test_the_middle_of_an_hour_long_exposure_is_no_time_zone():
    start = start_of({"DATE-OBS": "2017-12-20T04:15:12.925", "JD": 2458107.698066262}, 3600.0)
    assert start.utc == START
    assert "it is the middle of the exposure" in start.notes[0]


def test_local_time_by_its_comment_is_not_used():
    start = start_of({"DATE-OBS": "2017-12-19T21:15:12.925"}, DATE_OBS="Start of exposure, LT")
    assert start.utc is None
    assert "local time by its comment" in start.notes[0]


def test_whole_seconds_are_sharpened_by_an_agreeing_card():
    start = start_of({"UTSTART": "2017-12-20T04:15:12", "DATE-OBS": "2017-12-20T04:15:12.925"})
    assert (start.utc, start.source) == (START, "DATE-OBS")


def test_a_disagreement_is_noted_with_the_choice():
    start = start_of({"DATE-OBS": "2017-12-20T04:15:12.925", "JD": 2458107.67735})
    assert start.utc == START
    assert start.notes == (
        "JD is +10.115 s from DATE-OBS, more than their digits allow; DATE-OBS was used",
    )


def test_a_middle_of_exposure_is_recognised():
    start = start_of({"DATE-OBS": "2017-12-20T04:15:12.925", "JD": 2458107.677580150})
    assert "it is the middle of the exposure" in start.notes[0]
    start = start_of({"DATE-OBS": "2017-12-20T04:15:42.925"}, DATE_OBS="UTC at mid-exposure")
    assert start.utc == START


def test_a_barycentric_date_alone_tells_no_utc():
    start = start_of({"BJD-OBS": 2460825.6588797})
    assert start.utc is None
    assert start.notes == ("no card tells when the exposure began",)


def test_an_unknown_scale_leaves_universal_cards_only():
    header = {"TIMESYS": "LOCAL", "DATE-OBS": "2017-12-19T21:15:12.925"}
    assert start_of(header).utc is None
    assert start_of({**header, "UT-OBS": "2017-12-20T04:15:12.925"}).utc == START


@pytest.mark.parametrize(
    "text", ["2017-13-01", "2017-12-32", "0000-00-00", "30.05.25", "1800-01-01", "", "2017-12-20Tx"]
)
def test_what_is_no_date_is_not_read(text):
    assert parse_timestamp(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30/05/25", (2025, 5, 30)), ("30/05/99", (1999, 5, 30)), ("05/30/2025", (2025, 5, 30)),
        ("2025/05/30", (2025, 5, 30)),
    ],
)  # fmt: skip
def test_old_dates(text, expected):
    stamp = parse_timestamp(text)
    assert stamp is not None
    assert stamp.day.timetuple()[:3] == expected


def test_the_sixtieth_second_is_the_next_minute():
    stamp = parse_timestamp("2016-12-31T23:59:60.0")
    assert stamp is not None
    assert stamp.utc == datetime(2017, 1, 1)


@given(
    st.datetimes(datetime(1950, 1, 1), datetime(2099, 12, 31)),
    st.integers(-12 * 60, 14 * 60),
)
def test_iso_text_with_any_zone_gives_the_moment_back(moment, zone_min):
    local = moment + timedelta(minutes=zone_min)
    sign, size = "-" if zone_min < 0 else "+", abs(zone_min)
    text = f"{local.isoformat(timespec='microseconds')}{sign}{size // 60:02d}:{size % 60:02d}"
    stamp = parse_timestamp(text)
    if local.year >= 1950:
        assert stamp is not None
        assert stamp.utc == moment


@given(st.datetimes(datetime(1960, 1, 1), datetime(2090, 1, 1)))
def test_day_counts_give_the_moment_back(moment):
    days = (moment - datetime(1858, 11, 17)) / timedelta(days=1)
    count = parse_day_count(f"{days:.10f}")
    assert count is not None
    assert abs(count.moment - moment) < timedelta(microseconds=20)


def test_clock_precision_is_that_of_the_last_digit():
    precisions = [parse_clock(text).precision_s for text in ("03:44", "03:44:00", "03:44:00.19")]
    assert precisions == [60.0, 1.0, 0.01]


def test_unknown_scales_are_refused_in_words():
    with pytest.raises(ValueError, match="time scale 'MST' is not known"):
        to_utc(START, "MST")
