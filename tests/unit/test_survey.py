"""Instruments, filters, targets and skies: looked up by name, made on first use."""

import pytest
from sqlalchemy import func, select

from tianyu.publisher.survey import (
    InstrumentFacts,
    ensure_filter,
    ensure_instrument,
    ensure_sky,
    ensure_target,
    facts_of,
    find_target,
    set_instrument_facts,
)
from tianyu.schema.errors import ConfigurationError, NotFoundError
from tianyu.schema.tables import Instrument, OpticalFilter, Sky, Target


@pytest.fixture
def connection(installation):
    with installation.database.write() as connection:
        yield connection


def row_of(connection, table, row_id):
    return connection.execute(select(table.__table__).where(table.id == row_id)).one()


def test_what_is_there_is_found_by_name(connection, installation):
    make = (
        lambda: ensure_instrument(connection, "Tel Cam", installation.site_id, InstrumentFacts()),
        lambda: ensure_filter(connection, "r"),
        lambda: ensure_target(connection, "M31"),
        lambda: ensure_sky(connection, "M31", ra_deg=None, dec_deg=None),
    )
    first = [function() for function in make]
    assert [function() for function in make] == first
    for table in (Instrument, OpticalFilter, Target, Sky):
        assert connection.scalar(select(func.count()).select_from(table)) == 1


def test_a_frame_without_a_filter_has_none(connection):
    assert ensure_filter(connection, None) is None


def test_headers_fill_gaps_and_people_overrule_them(connection, installation):
    def ensure(**facts):
        return ensure_instrument(
            connection, "Tel Cam", installation.site_id, InstrumentFacts(**facts)
        )

    ensure(gain_e_per_adu=1.5)
    instrument_id = ensure(gain_e_per_adu=9.9, latitude_deg=31.7)
    row = row_of(connection, Instrument, instrument_id)
    assert (row.gain_e_per_adu, row.latitude_deg) == (1.5, 31.7)
    set_instrument_facts(connection, instrument_id, InstrumentFacts(gain_e_per_adu=2.0))
    row = row_of(connection, Instrument, instrument_id)
    assert (row.gain_e_per_adu, row.latitude_deg) == (2.0, 31.7)


def test_facts_come_from_the_header(scanned):
    header = scanned(EGAIN=1.5, RDNOISE=8.0, SITELAT=31.96, SITELONG=-111.6).header
    facts = facts_of(header)
    assert (facts.gain_e_per_adu, facts.read_noise_e) == (1.5, 8.0)
    assert (facts.latitude_deg, facts.longitude_deg) == (31.96, -111.6)


def test_facts_are_filled_from_others():
    facts = InstrumentFacts(latitude_deg=1.0).over(InstrumentFacts(latitude_deg=2.0, altitude_m=0))
    assert (facts.latitude_deg, facts.altitude_m) == (1.0, 0)


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"latitude_deg": 91.0}, "latitude 91.0 is impossible; give -90 to 90 degrees north"),
        ({"longitude_deg": float("nan")}, "longitude nan is impossible"),
        ({"altitude_m": 20_000.0}, "altitude"),
        ({"gain_e_per_adu": 0.0}, "gain_e_per_adu 0.0 is impossible; give a positive number"),
        ({"saturation_adu": -1.0}, "saturation_adu"),
        ({"read_noise_e": -1.0}, "read noise"),
    ],
)
def test_impossible_facts_are_refused(facts, text):
    with pytest.raises(ConfigurationError, match=text):
        InstrumentFacts(**facts)


def test_a_target_gets_the_coordinates_it_lacked(connection):
    target_id = ensure_target(connection, "HAT-P-32")
    assert row_of(connection, Target, target_id).ra_deg is None
    ensure_target(connection, "HAT-P-32", ra_deg=31.04, dec_deg=46.69)
    ensure_target(connection, "HAT-P-32")
    row = row_of(connection, Target, target_id)
    assert (row.ra_deg, row.dec_deg) == (31.04, 46.69)


def test_a_sky_gets_the_coordinates_it_lacked_and_keeps_those_it_had(connection):
    sky_id = ensure_sky(connection, "M31", ra_deg=None, dec_deg=None)
    ensure_sky(connection, "M31", ra_deg=10.7, dec_deg=41.3)
    ensure_sky(connection, "M31", ra_deg=99.0, dec_deg=9.0)
    assert row_of(connection, Sky, sky_id).ra_deg == 10.7


@pytest.mark.parametrize(
    ("ra_deg", "dec_deg", "text"),
    [
        (31.0, None, "give both --ra and --dec, or neither"),
        (None, 46.7, "give both --ra and --dec, or neither"),
        (360.0, 0.0, "right ascension 360.0 is impossible"),
        (-1.0, 0.0, "below 360"),
        (float("nan"), 0.0, "right ascension nan"),
        (0.0, 90.1, "declination 90.1 is impossible; give -90 to 90 degrees"),
    ],
)
def test_impossible_coordinates_are_refused(connection, ra_deg, dec_deg, text):
    with pytest.raises(ConfigurationError, match=text):
        ensure_target(connection, "HAT-P-32", ra_deg=ra_deg, dec_deg=dec_deg)


def test_an_unknown_target_is_answered_with_the_known_ones(connection):
    with pytest.raises(NotFoundError, match=r"'M31'; registered targets: none"):
        find_target(connection, "M31")
    target_id = ensure_target(connection, "M33")
    assert find_target(connection, "M33") == target_id
    with pytest.raises(NotFoundError, match=r"'M31'; registered targets: M33"):
        find_target(connection, "M31")
