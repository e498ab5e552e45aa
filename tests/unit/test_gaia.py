"""Gaia by the archive's protocol: asked once, kept on the disk, and a clear line without it."""

import re
from pathlib import Path

import numpy as np
import pytest
from tests.unit.gaia_archive import archive

from tianyu.pipelines.catalogues.gaia import ArchiveUnreachableError, Cone, gaia_stars
from tianyu.pipelines.science.crossmatch import unit_vectors

FIELD = Cone(31.0428, 46.6878, 0.6)


def test_the_second_run_needs_no_network(tmp_path: Path) -> None:
    with archive() as server:
        stars, was_cached = gaia_stars(FIELD, tmp_path, url=server.url)
        url = server.url
        assert len(server.queries) == 1
    assert not was_cached
    again, is_cached = gaia_stars(FIELD, tmp_path, url=url)
    assert is_cached
    for name in ("id", "ra_deg", "pm_ra_mas", "magnitude", "colour", "is_variable"):
        np.testing.assert_array_equal(getattr(stars, name), getattr(again, name))
    assert not list(tmp_path.glob(".*"))


def test_columns_are_those_of_the_archive(tmp_path: Path) -> None:
    with archive() as server:
        stars, _ = gaia_stars(FIELD, tmp_path, url=server.url)
    assert stars.id[0] == "355993728746239104"
    assert stars.epoch.tolist() == [2016.0] * 3
    # What the archive leaves empty: no motion, no colour, nothing said of variability.
    assert stars.pm_ra_mas[2] == 0.0
    assert np.isnan(stars.colour[2])
    np.testing.assert_array_equal(stars.is_variable, [np.nan, 1.0, 0.0])


def test_the_query_names_a_circle_that_holds_the_field(tmp_path: Path) -> None:
    with archive() as server:
        gaia_stars(FIELD, tmp_path, url=server.url, faint_limit_mag=16.0)
        (query,) = server.queries
    ra, dec, radius = map(float, re.findall(r"CIRCLE\('ICRS', (.+), (.+), (.+)\)\)", query)[0])
    asked, wanted = unit_vectors(np.array([ra, FIELD.ra_deg]), np.array([dec, FIELD.dec_deg]))
    assert np.degrees(np.linalg.norm(asked - wanted)) + FIELD.radius_deg <= radius
    assert "phot_g_mean_mag <= 16.0" in query


def test_nights_of_a_field_share_an_answer(tmp_path: Path) -> None:
    with archive() as server:
        gaia_stars(FIELD, tmp_path, url=server.url)
        gaia_stars(Cone(31.0433, 46.6881, 0.6), tmp_path, url=server.url)
        assert len(server.queries) == 1
        gaia_stars(Cone(33.0, 46.6881, 0.6), tmp_path, url=server.url)
        assert len(server.queries) == 2


def test_without_the_archive_there_is_a_clear_line_and_nothing_kept(tmp_path: Path) -> None:
    with archive() as server:
        url = server.url
    with pytest.raises(ArchiveUnreachableError, match=r"gave no answer .*give a catalogue file"):
        gaia_stars(FIELD, tmp_path, url=url)
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_is_no_table_is_not_kept(tmp_path: Path) -> None:
    with archive() as server:
        server.answer = b"<html>down for maintenance</html>"
        with pytest.raises(ArchiveUnreachableError):
            gaia_stars(FIELD, tmp_path, url=server.url)
    assert list(tmp_path.iterdir()) == []
