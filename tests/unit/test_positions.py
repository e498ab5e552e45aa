"""Tables of positions: what is read, what is refused, what is noted."""

import pytest
from astropy import units as u
from astropy.table import MaskedColumn, Table

from tianyu.publisher.positions import Position, read_positions
from tianyu.schema.errors import ConfigurationError


def table(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_places_by_coordinates_and_by_pixel(tmp_path):
    path = table(
        tmp_path / "p.csv",
        "Name,RA,Dec,x,y,frame\nA,31.5,-46.5,,,\nB,,,10.25,20,night_0001\n"
        "C,02:06:00,+46:30:00,,,\n",
    )
    assert read_positions(path) == (
        Position("A", 31.5, -46.5),
        Position("B", x=10.25, y=20.0, frame="night_0001"),
        Position("C", 31.5, 46.5),
    )


@pytest.mark.parametrize("name", ["p.ecsv", "p.fits", "p.xml", "p.txt"])
def test_every_format_that_astropy_knows(tmp_path, name):
    """Worked by hand: 2.1 h are 31.5°, 2790′ are 46.5°."""
    rows = Table({"name": ["A", "B"], "ra": [2.1, 2.2] * u.hourangle, "dec": [2790, 60] * u.arcmin})
    if name == "p.txt":
        rows = Table({"name": ["A", "B"], "ra": [31.5, 33.0], "dec": [46.5, 1.0]})
    form = {"p.xml": "votable", "p.txt": "ascii"}.get(name)
    if name in {"p.xml", "p.fits"}:
        rows["ra"], rows["dec"] = rows["ra"].quantity.to("deg"), rows["dec"].quantity.to("deg")
    rows.write(tmp_path / name, **({"format": form} if form else {}))
    first, second = read_positions(tmp_path / name)
    assert (first.name, second.name) == ("A", "B")
    assert (first.ra_deg, first.dec_deg) == pytest.approx((31.5, 46.5))
    assert (second.ra_deg, second.dec_deg) == pytest.approx((33.0, 1.0))


def test_what_is_masked_is_not_there(tmp_path):
    rows = Table({
        "name": ["A"], "ra": [31.5], "dec": [46.5],
        "x": MaskedColumn([0.0], mask=[True]), "y": MaskedColumn([0.0], mask=[True]),
        "frame": MaskedColumn(["?"], mask=[True]),
    })  # fmt: skip
    rows.write(tmp_path / "p.ecsv")
    assert read_positions(tmp_path / "p.ecsv") == (Position("A", 31.5, 46.5),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,ra\nA,1\n", "has the columns name, ra; it needs name, and ra and dec, or x, y"),
        ("ra,dec\n1,2\n", "has the columns ra, dec; it needs name"),
        ("name,ra,dec\n", "has no row"),
        ("name,ra,dec\nA,1,2\nA,3,4\n", "has 'A' twice"),
        ("name,ra,dec\nA,1,\n", "give both --ra and --dec"),
        ("name,ra,dec\nA,361,4\n", "right ascension 361"),
        ("name,ra,dec\nA,east,4\n", r"row 1 of .* \(A\): ra is 'east', which is no angle"),
        ("name,x,y,frame\nA,1,2,f\nB,1,2,\n", r"row 2 of .* \(B\) has no place"),
        ("name,x,y,frame\nA,1,,f\n", r"row 1 of .* \(A\) has no place"),
        ("name,x,y,frame\nA,1,up,f\n", "y is 'up', which is no number"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_as_a_whole(tmp_path, text, says):
    with pytest.raises(ConfigurationError, match=says):
        read_positions(table(tmp_path / "p.csv", text))


def test_a_table_that_is_none_or_not_there(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_positions(tmp_path / "nowhere.csv")
