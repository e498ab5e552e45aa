"""The frames of an observation: their rows and files, and where targets stand in them."""

import errno
import gzip
import os
import shutil

import pytest
from sqlalchemy import select

from tianyu.publisher import observations
from tianyu.publisher.expectations import ExpectedTarget, expect_target, is_expected
from tianyu.publisher.observations import (
    ObservationSpec,
    ensure_observation,
    find_frame,
    register_frames,
)
from tianyu.publisher.placing import Placement
from tianyu.publisher.scanning import scan
from tianyu.publisher.survey import InstrumentFacts, ensure_instrument, ensure_target
from tianyu.schema.directory import ensure_site
from tianyu.schema.errors import ConfigurationError, NotFoundError
from tianyu.schema.tables import Image, ImageCopy, ObservationTarget


@pytest.fixture
def observation_id(installation):
    def make(connection):
        instrument = ensure_instrument(connection, "Cam", installation.site_id, InstrumentFacts())
        return ensure_observation(connection, ObservationSpec("night", "light", instrument))

    return installation.database.retry(make)


@pytest.fixture
def add(installation, observation_id):
    """Return a function that scans a folder and registers what it holds."""

    def register(folder, **options):
        values = {"site_id": installation.site_id, "root": installation.root, **options}
        frames = scan([folder]).frames
        return register_frames(installation.database, observation_id, frames, **values)

    return register


@pytest.fixture
def rows(installation):
    """Return a function that reads names and paths of all images."""

    def read(site_id=installation.site_id):
        query = (
            select(Image.name, ImageCopy.path, ImageCopy.size_bytes)
            .join(ImageCopy, ImageCopy.image_id == Image.id)
            .where(ImageCopy.site_id == site_id)
            .order_by(Image.id)
        )
        with installation.database.read() as connection:
            return connection.execute(query).all()

    return read


def test_an_observation_is_made_once(installation, observation_id):
    spec = ObservationSpec("night", "light", 1)
    assert installation.database.retry(lambda c: ensure_observation(c, spec)) == observation_id


def test_every_row_has_its_file(installation, add, rows, tmp_path, write_fits):
    for i in range(3):
        write_fits(tmp_path / "n" / f"{i}.fits", seed=i)
    assert add(tmp_path / "n") == 3
    assert [row.name for row in rows()] == ["0.fits", "1.fits", "2.fits"]
    for row in rows():
        assert (installation.root / row.path).stat().st_size == row.size_bytes


def test_a_row_holds_the_times_and_the_header(installation, add, tmp_path, write_fits):
    write_fits(tmp_path / "n" / "a.fits", EGAIN=1.5)
    add(tmp_path / "n")
    with installation.database.read() as connection:
        row = connection.execute(select(Image.__table__)).one()
    assert (row.utc_start.isoformat(), row.utc_mid.isoformat()) == (
        "2025-03-17T02:50:00", "2025-03-17T02:50:30"
    )  # fmt: skip
    assert row.header["gain_e_per_adu"] == 1.5
    assert row.header["utc_start"] == "2025-03-17T02:50:00"
    assert row.header["kind"] == row.kind == "light"


def test_registering_again_adds_nothing_and_more_frames_only_these(add, rows, tmp_path, write_fits):
    write_fits(tmp_path / "n" / "a.fits")
    assert add(tmp_path / "n") == 1
    assert add(tmp_path / "n") == 0
    write_fits(tmp_path / "n" / "b.fits", seed=1)
    assert add(tmp_path / "n") == 1
    assert [row.name for row in rows()] == ["a.fits", "b.fits"]


@pytest.mark.parametrize("together", [True, False])
def test_one_name_in_two_folders_is_two_files(
    installation, add, rows, tmp_path, write_fits, together
):
    """All frames of a camera have one size: neither name nor size may stand for the content."""
    east = write_fits(tmp_path / "n" / "east" / "0001.fits", seed=1)
    west = write_fits(tmp_path / "n" / "west" / "0001.FITS", seed=2)
    for folder in [tmp_path / "n"] if together else [east.parent, west.parent]:
        add(folder)
    assert add(tmp_path / "n") == 0
    first, second = rows()
    assert second.name.endswith("_0001.FITS" if first.name == "0001.fits" else "_0001.fits")
    contents = {(installation.root / row.path).read_bytes() for row in rows()}
    assert contents == {east.read_bytes(), west.read_bytes()}


def test_a_name_that_windows_refuses_is_stored_under_a_safe_one(
    installation, observation_id, add, rows, tmp_path, write_fits
):
    write_fits(tmp_path / "n" / "M31_2025-05-30T03:44:00.fits", seed=1)
    write_fits(tmp_path / "n" / "M31_2025-05-30T03_44_00.fits", seed=2)
    write_fits(tmp_path / "n" / "aux.fits", seed=3)
    assert add(tmp_path / "n") == 3
    names = [row.name for row in rows()]
    assert names[0] == "M31_2025-05-30T03_44_00.fits"
    assert names[1].endswith("_M31_2025-05-30T03_44_00.fits")
    assert names[2] == "_aux.fits"
    with installation.database.read() as connection:
        assert find_frame(connection, observation_id, "aux.fits") == 3


def test_a_file_left_by_an_earlier_database_is_not_taken_for_ours(
    installation, observation_id, add, rows, tmp_path, write_fits
):
    frame = write_fits(tmp_path / "n" / "a.fits", seed=1)
    left = installation.root / f"raw/{observation_id:06d}/a.fits"
    write_fits(left, seed=2)
    content = left.read_bytes()
    add(tmp_path / "n")
    assert left.read_bytes() == content
    (row,) = rows()
    assert (installation.root / row.path).read_bytes() == frame.read_bytes()


def test_a_file_without_a_row_is_found_again(
    installation, add, rows, tmp_path, write_fits, monkeypatch
):
    """A registration that dies between its files and its rows is simply repeated."""
    write_fits(tmp_path / "n" / "a.fits")
    with monkeypatch.context() as patch:
        patch.setattr(observations, "_insert", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            add(tmp_path / "n")
    assert rows() == []
    assert add(tmp_path / "n") == 1
    (row,) = rows()
    assert row.path.endswith("/a.fits")


def test_a_frame_compressed_since_is_not_another_one(add, rows, tmp_path, write_fits):
    path = write_fits(tmp_path / "n" / "a.fits")
    add(tmp_path / "n")
    (tmp_path / "n" / "a.fits.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert add(tmp_path / "n") == 0
    assert len(rows()) == 1


def test_a_file_that_is_gone_comes_back(installation, add, rows, tmp_path, write_fits):
    write_fits(tmp_path / "n" / "a.fits")
    add(tmp_path / "n", placement=Placement.COPY)
    (row,) = rows()
    (installation.root / row.path).unlink()
    assert add(tmp_path / "n") == 0
    assert (installation.root / row.path).exists()


def test_a_frame_known_from_another_site_gets_its_copy_here(
    installation, add, rows, tmp_path, write_fits
):
    write_fits(tmp_path / "n" / "a.fits")
    add(tmp_path / "n")
    root = tmp_path / "far"
    root.mkdir()
    far = installation.database.retry(lambda c: ensure_site(c, "far", root, 60.0))
    assert add(tmp_path / "n", site_id=far, root=root) == 0
    (row,) = rows(far)
    assert (root / row.path).exists()
    assert add(tmp_path / "n", site_id=far, root=root) == 0


def test_two_publishers_at_once_register_every_frame_once(
    installation, add, rows, tmp_path, write_fits, monkeypatch
):
    """The other one commits after we have looked and before we insert."""
    write_fits(tmp_path / "n" / "a.fits")
    place = observations.place

    def place_after_the_other(*arguments):
        monkeypatch.setattr(observations, "place", place)
        assert add(tmp_path / "n") == 1
        return place(*arguments)

    monkeypatch.setattr(observations, "place", place_after_the_other)
    assert add(tmp_path / "n") == 0
    assert len(rows()) == 1


def test_the_originals_of_moved_frames_go_after_the_rows_are_there(
    installation, add, rows, tmp_path, write_fits, monkeypatch
):
    path = write_fits(tmp_path / "n" / "a.fits")
    with monkeypatch.context() as patch:
        patch.setattr(observations, "_insert", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            add(tmp_path / "n", placement=Placement.MOVE)
    assert path.exists()
    add(tmp_path / "n", placement=Placement.MOVE)
    assert not path.exists()
    assert (installation.root / rows()[0].path).exists()


def test_a_full_disk_is_told_in_words_and_leaves_no_row(
    installation, add, rows, tmp_path, write_fits, monkeypatch
):
    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    write_fits(tmp_path / "n" / "a.fits")
    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(ConfigurationError, match="No space left on device"):
        add(tmp_path / "n")
    assert rows() == []


def test_progress_counts_the_files_placed(add, tmp_path, write_fits):
    for i in range(3):
        write_fits(tmp_path / "n" / f"{i}.fits", seed=i)
    seen = []
    add(tmp_path / "n", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    "spelling", ["HATP_042", "hatp_042", "HATP_042.FITS", "hatp_042.fits.fz", "n/HATP_042.fits"]
)
def test_a_frame_is_found_by_many_spellings(
    installation, observation_id, add, tmp_path, write_fits, spelling
):
    write_fits(tmp_path / "n" / "HATP_042.fits", seed=1)
    write_fits(tmp_path / "n" / "HATP_042.1.fits", seed=2)
    add(tmp_path / "n")
    with installation.database.read() as connection:
        found = find_frame(connection, observation_id, spelling)
        name = connection.scalar(select(Image.name).where(Image.id == found))
    assert name == "HATP_042.fits"


def test_a_frame_that_is_not_there_is_none(installation, observation_id, add, tmp_path, write_fits):
    write_fits(tmp_path / "n" / "HATP_042.fits")
    add(tmp_path / "n")
    with installation.database.read() as connection:
        assert find_frame(connection, observation_id, "HATP_04") is None
        assert find_frame(connection, observation_id + 1, "HATP_042") is None


def test_a_name_that_may_be_two_frames_is_asked_about(
    installation, observation_id, add, tmp_path, write_fits
):
    write_fits(tmp_path / "n" / "a.fits", seed=1, DATE_OBS="2025-03-17T02:50:00")
    write_fits(tmp_path / "n" / "a.fit", seed=2, DATE_OBS="2025-03-17T02:51:00")
    add(tmp_path / "n")
    with installation.database.read() as connection:
        assert find_frame(connection, observation_id, "a.fit") is not None
        with pytest.raises(ConfigurationError, match="give the whole name"):
            find_frame(connection, observation_id, "a")


@pytest.fixture
def expect(installation, observation_id, add, tmp_path, write_fits):
    """Return a function that notes a target in an observation with the frame a.fits, 16×16."""
    write_fits(tmp_path / "n" / "a.fits")
    add(tmp_path / "n")
    target_id = installation.database.retry(lambda c: ensure_target(c, "T"))

    def note(*position):
        target = ExpectedTarget(target_id, *position)
        installation.database.retry(lambda c: expect_target(c, observation_id, target))
        with installation.database.read() as connection:
            assert is_expected(connection, observation_id, target_id)
            return connection.execute(
                select(ObservationTarget.image_id, ObservationTarget.x, ObservationTarget.y)
            ).one()

    return note


def test_the_last_word_on_a_target_counts(expect):
    assert tuple(expect("A", 3.5, 4.5)) == (1, 3.5, 4.5)
    assert tuple(expect("a.fits", -0.5, 15.5)) == (1, -0.5, 15.5)
    assert tuple(expect()) == (None, None, None)


@pytest.mark.parametrize("pixel", [(16.0, 3.0), (3.0, 16.0), (-1.0, 0.0), (float("nan"), 0.0)])
def test_a_pixel_beside_the_frame_is_refused(expect, pixel):
    with pytest.raises(ConfigurationError, match=r"is not in a\.fits, which has 16×16 pixels"):
        expect("a", *pixel)


def test_a_pixel_in_no_frame_is_refused(expect):
    with pytest.raises(NotFoundError, match="no frame 'b'"):
        expect("b", 1.0, 1.0)


@pytest.mark.parametrize("position", [("a", None, 1.0), (None, 1.0, 1.0), ("a", None, None)])
def test_half_a_position_is_refused(expect, position):
    with pytest.raises(ConfigurationError, match="needs x, y and the name of the frame"):
        expect(*position)
