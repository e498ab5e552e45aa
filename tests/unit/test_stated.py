"""What headers say themselves of time, airmass and moon: compared, and named where it differs."""

from datetime import datetime

import numpy as np
import pytest

from tianyu.pipelines.fits.header import interpret_header
from tianyu.pipelines.science.stated import disagreements
from tianyu.pipelines.science.times import frame_times

TIMES = frame_times(
    [datetime(2017, 12, 20, 4, 15, 12)], np.array([60.0]), latitude_deg=31.68,
    longitude_deg=-110.88, altitude_m=2000.0, ra_deg=31.0428, dec_deg=46.6878,
)  # fmt: skip
BJD, HJD = float(TIMES.bjd_tdb_mid[0]), float(TIMES.hjd_utc_mid[0])
AIRMASS, MOON = float(TIMES.airmass[0]), float(TIMES.moon_distance_deg[0])
SECOND = 1.0 / 86400.0


@pytest.mark.parametrize("shift_s", [-30.0, 0.0, 30.0])
def test_start_middle_and_end_of_the_exposure_all_agree(shift_s: float) -> None:
    stated = {"bjd": BJD + shift_s * SECOND, "hjd": HJD, "airmass": AIRMASS * 1.01}
    assert disagreements(stated, TIMES, 0, 60.0) is None


@pytest.mark.parametrize(
    ("stated", "text"),
    [
        ({"bjd": BJD - 69.184 * SECOND}, "the header's BJD is -69 s from mid-exposure"),
        ({"hjd": HJD + 300 * SECOND}, r"the header's HJD is \+300 s"),
        ({"airmass": AIRMASS * 1.1}, "the header's airmass is 1.1"),
        ({"moon_distance_deg": MOON + 10.0}, "the header has the moon at"),
    ],
)
def test_what_disagrees_is_named_with_both_values(stated, text) -> None:
    import re

    assert re.search(text, disagreements(stated, TIMES, 0, 60.0) or "")


def test_what_is_not_known_is_not_compared() -> None:
    blind = frame_times([None], np.array([60.0]), latitude_deg=None, longitude_deg=None,
                        altitude_m=None, ra_deg=None, dec_deg=None)  # fmt: skip
    stated = {"bjd": 1.0, "hjd": 1.0, "airmass": 1.0, "moon_distance_deg": 1.0}
    assert disagreements(stated, blind, 0, None) is None


def test_cards_are_read_where_they_are_plausible() -> None:
    cards = {"EXPTIME": 30.0, "IMAGETYP": "light", "BJD-OBS": 2460825.6, "AIRMASS": 0.0,
             "MOONDIST": 93.2}  # fmt: skip
    header = interpret_header(cards, name="a.fits", shape=(10, 10))
    assert header.stated == {"bjd": 2460825.6, "moon_distance_deg": 93.2}
