"""Catalogues from files: columns by descriptor, name or option, in any unit."""

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table

from tianyu.pipelines.catalogues.files import read_catalogue_file
from tianyu.pipelines.catalogues.stars import stars_of_table
from tianyu.pipelines.errors import MissingInputError, UnusableDataError


def test_tycho_as_csv(tmp_path: Path) -> None:
    path = tmp_path / "tycho2.csv"
    path.write_text("MAG_VT,RA,DEC\n11.1,31.37,46.40\n11.0,31.47,46.43\n")
    stars = read_catalogue_file(path)
    assert (stars.name, stars.id.tolist()) == ("tycho2", ["1", "2"])
    assert stars.magnitude.tolist() == [11.1, 11.0]
    assert stars.epoch.tolist() == [2000.0, 2000.0]
    assert np.isnan(stars.is_variable).all()


def test_descriptors_come_before_names_and_units_are_converted() -> None:
    table = Table({"a": [1800.0] * u.arcmin, "b": [45.0] * u.deg, "dec": [1.0], "p": [0.5]})
    table["p"].unit = u.arcsec / u.yr
    for name, ucd in (("a", "pos.eq.ra"), ("b", "pos.eq.dec"), ("p", "pos.pm;pos.eq.ra")):
        table[name].meta["ucd"] = ucd
    stars = stars_of_table(table, "x")
    assert (stars.ra_deg[0], stars.dec_deg[0]) == (pytest.approx(30.0), 45.0)
    assert stars.pm_ra_mas[0] == pytest.approx(500.0)


def test_a_person_knows_better_than_names() -> None:
    table = Table({"ra": [1.0], "dec": [2.0], "mag": [10.0], "Kmag": [8.0]})
    assert stars_of_table(table, "x", columns={"magnitude": "Kmag"}).magnitude[0] == 8.0


def test_rows_without_a_position_are_left_out() -> None:
    table = Table({"ra": [1.0, np.nan], "dec": [2.0, 3.0], "name": ["a", "b"]})
    assert stars_of_table(table, "x").id.tolist() == ["a"]


@pytest.mark.parametrize(
    ("columns", "options", "text"),
    [
        ({"ra": [1.0]}, {}, "no column for dec_deg; it has ra"),
        ({"ra": ["02:04:10"], "dec": [1.0]}, {}, "'ra' of the catalogue x is taken for ra_deg"),
        ({"ra": [1.0], "dec": [91.0]}, {}, "row 1 of the catalogue x is not a position"),
        ({"ra": [1.0], "dec": [1.0]}, {"columns": {"magnitude": "V"}}, "there is no column 'V'"),
        ({"ra": [1.0], "dec": [1.0]}, {"columns": {"mass": "m"}}, "no field 'mass'"),
    ],
)
def test_what_cannot_be_understood_is_named(columns, options, text) -> None:
    with pytest.raises(UnusableDataError, match=text):
        stars_of_table(Table(columns), "x", **options)


def test_a_file_that_is_missing_or_no_table(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="there is no catalogue"):
        read_catalogue_file(tmp_path / "gone.csv")
    broken = tmp_path / "broken.fits"
    broken.write_bytes(b"no FITS")
    with pytest.raises(UnusableDataError, match="not a table that can be read"):
        read_catalogue_file(broken)
