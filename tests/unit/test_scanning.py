"""What is a frame, and what is not, and why."""

import gzip
import shutil
from pathlib import Path

import pytest

from tianyu.pipelines.fits import FrameKind
from tianyu.publisher import scanning
from tianyu.publisher.scanning import find_files, scan


def reasons(found):
    return {r.path.name: r.reason for r in found.rejected}


def test_a_night_is_found_whole_and_in_the_order_of_time(night_folder):
    found = scan([night_folder])
    kinds = [frame.header.kind for frame in found.frames]
    assert [kinds.count(kind) for kind in FrameKind] == [5, 3, 5, 12]
    times = [frame.header.utc_start for frame in found.frames]
    assert times == sorted(times)
    assert found.rejected == ()


def test_what_cannot_be_read_is_rejected_with_its_reason_and_the_rest_goes_on(tmp_path, write_fits):
    good = write_fits(tmp_path / "good.fits")
    (tmp_path / "truncated.fits").write_bytes(good.read_bytes()[:2900])
    (tmp_path / "no_fits.fits").write_bytes(b"GIF89a" * 1000)
    (tmp_path / "empty.fits").touch()
    compressed = gzip.compress(write_fits(tmp_path / "other" / "x.fits", seed=1).read_bytes())
    (tmp_path / "cut.fits.gz").write_bytes(compressed[:100])
    write_fits(tmp_path / "arc.fits", kind="ARC")
    (tmp_path / "notes.txt").write_text("cloudy")
    found = scan([tmp_path, tmp_path / "gone"])
    assert [f.path.name for f in found.frames] == ["good.fits", "x.fits"]
    assert set(reasons(found)) == {
        "truncated.fits", "no_fits.fits", "empty.fits", "cut.fits.gz", "arc.fits", "gone"
    }  # fmt: skip
    assert "truncated" in reasons(found)["truncated.fits"]
    assert "not a FITS file" in reasons(found)["no_fits.fits"]
    assert "check the spelling" in reasons(found)["gone"]


def test_a_file_that_the_disk_does_not_give_is_rejected(tmp_path, write_fits, monkeypatch):
    write_fits(tmp_path / "a.fits")
    write_fits(tmp_path / "b.fits", seed=1)
    read_header = scanning.read_header

    def refuse(path):
        if path.name == "a.fits":
            raise PermissionError(13, "Permission denied", str(path))
        return read_header(path)

    monkeypatch.setattr(scanning, "read_header", refuse)
    found = scan([tmp_path])
    assert [f.path.name for f in found.frames] == ["b.fits"]
    assert "Permission denied" in reasons(found)["a.fits"]


def test_a_copy_is_taken_once(tmp_path, write_fits):
    write_fits(tmp_path / "a.fits")
    shutil.copyfile(tmp_path / "a.fits", tmp_path / "b.fits")
    found = scan([tmp_path])
    assert [f.path.name for f in found.frames] == ["a.fits"]
    assert "same content as" in reasons(found)["b.fits"]


def test_a_frame_beside_its_compressed_version_is_taken_once(tmp_path, write_fits):
    plain = write_fits(tmp_path / "a.fits")
    (tmp_path / "a.fits.gz").write_bytes(gzip.compress(plain.read_bytes()))
    found = scan([tmp_path])
    assert [f.path.name for f in found.frames] == ["a.fits"]
    assert "same exposure as a.fits" in reasons(found)["a.fits.gz"]


def test_one_name_in_two_folders_is_two_frames(tmp_path, write_fits):
    write_fits(tmp_path / "east" / "0001.fits", seed=1)
    write_fits(tmp_path / "west" / "0001.fits", seed=2)
    assert len(scan([tmp_path]).frames) == 2


def test_one_file_in_two_spellings_is_one_without_complaint(tmp_path, write_fits):
    path = write_fits(tmp_path / "sub" / "a.fits")
    found = scan([tmp_path, path, tmp_path / "sub" / ".." / "sub"])
    assert len(found.frames) == 1
    assert found.rejected == ()


def test_our_own_folders_are_left_out_unless_they_are_what_is_asked_for(tmp_path, write_fits):
    """Results beside the frames: templates must not come back as frames of the sky."""
    write_fits(tmp_path / "a.fits")
    write_fits(tmp_path / "runs" / "000001" / "template.fits", seed=1)
    closed = [tmp_path / "runs"]
    assert [p.name for p in find_files([tmp_path], leave_out=closed)[0]] == ["a.fits"]
    asked = find_files([tmp_path / "runs" / "000001"], leave_out=closed)[0]
    assert [p.name for p in asked] == ["template.fits"]


def test_a_linked_frame_keeps_the_name_of_the_link(tmp_path, write_fits):
    path = write_fits(tmp_path / "archive" / "3f8a.fits")
    (tmp_path / "night").mkdir()
    (tmp_path / "night" / "M31_0001.fits").symlink_to(path)
    assert [f.path.name for f in scan([tmp_path / "night"]).frames] == ["M31_0001.fits"]


def test_a_file_is_taken_whatever_its_ending_when_it_is_named(tmp_path, write_fits):
    path = write_fits(tmp_path / "a.fits").rename(tmp_path / "a.001")
    assert len(scan([path]).frames) == 1


def test_progress_reaches_the_end(night_folder):
    seen = []
    scan([night_folder], lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, 25)
    assert seen[-1] == (25, 25)


@pytest.mark.parametrize("paths", [[], [Path("nowhere")]])
def test_nothing_to_scan_is_no_error(paths):
    assert scan(paths).frames == ()
