"""Bringing raw files under a root."""

import errno
import os
import shutil

import pytest

from tianyu.publisher.placing import Placement, place, take_away
from tianyu.schema.errors import UnsafePathError

PATH = "raw/000001/frame.fits"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "night" / "frame.fits"
    path.parent.mkdir()
    path.write_bytes(b"SIMPLE" * 1000)
    return path


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def other_file_system(monkeypatch):
    """Make hard links fail as they do between file systems."""

    def refuse(source, target):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)


def everything_under(root):
    return sorted(p for p in root.rglob("*") if p.is_file())


@pytest.mark.parametrize("placement", list(Placement))
def test_the_file_is_placed_whole_and_nothing_else(source, root, placement):
    target = place(source, root, PATH, placement)
    assert target.read_bytes() == b"SIMPLE" * 1000
    assert everything_under(root) == [target]
    assert source.exists()


def test_a_link_costs_no_space_and_a_copy_is_independent(source, root):
    linked = place(source, root, PATH, Placement.LINK)
    copied = place(source, root, "raw/000002/frame.fits", Placement.COPY)
    assert linked.samefile(source)
    assert not copied.samefile(source)


def test_between_file_systems_a_link_is_a_copy(source, root, other_file_system):
    target = place(source, root, PATH, Placement.LINK)
    assert not target.samefile(source)
    assert target.read_bytes() == source.read_bytes()


def test_a_link_to_a_symbolic_link_is_the_file_itself(source, root, tmp_path):
    """A symbolic link under the root would dangle, or lead out of it."""
    alias = tmp_path / "alias.fits"
    alias.symlink_to(source)
    target = place(alias, root, PATH, Placement.LINK)
    assert not target.is_symlink()
    assert target.samefile(source)


def test_placing_again_changes_nothing(source, root):
    first = place(source, root, PATH, Placement.COPY)
    before = first.stat()
    assert place(source, root, PATH, Placement.COPY) == first
    assert first.stat().st_ino == before.st_ino


def test_another_frame_of_the_same_size_is_never_taken_for_it(source, root, tmp_path):
    """All frames of a camera have one size."""
    place(source, root, PATH, Placement.LINK)
    other = tmp_path / "other.fits"
    other.write_bytes(b"simple" * 1000)
    with pytest.raises(FileExistsError, match="another file than"):
        place(other, root, PATH, Placement.LINK)
    assert (root / PATH).read_bytes() == source.read_bytes()


@pytest.mark.parametrize("placement", list(Placement))
def test_a_full_disk_leaves_nothing_half_written(
    source, root, placement, monkeypatch, other_file_system
):
    def half(source, target):
        target.write_bytes(b"SIMP")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", half)
    with pytest.raises(OSError, match="No space left"):
        place(source, root, PATH, placement)
    assert everything_under(root) == []
    assert source.exists()


def test_a_path_out_of_the_root_is_refused(source, root):
    with pytest.raises(UnsafePathError):
        place(source, root, "../frame.fits", Placement.COPY)


def test_the_original_of_a_moved_frame_goes_when_told(source, root):
    target = place(source, root, PATH, Placement.MOVE)
    take_away(source, target)
    assert not source.exists()
    assert target.read_bytes() == b"SIMPLE" * 1000


def test_what_lies_in_its_place_already_stays(root, source):
    target = place(source, root, PATH, Placement.COPY)
    assert place(target, root, PATH, Placement.MOVE) == target
    take_away(target, target)
    assert target.exists()


def test_moving_through_a_symbolic_link_never_removes_the_placed_file(root, source, tmp_path):
    target = place(source, root, PATH, Placement.COPY)
    alias = tmp_path / "alias.fits"
    alias.symlink_to(target)
    take_away(alias, target)
    assert target.exists()
