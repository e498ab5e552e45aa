"""A file in a watched folder is taken when it is whole, and only then."""

import gzip
import os

import pytest

from tianyu.publisher.settling import Settling, is_frame_name


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def settling(clock):
    return Settling(settle_s=1.0, patience_s=10.0, clock=clock)


@pytest.fixture
def frame(write_fits, tmp_path):
    return write_fits(tmp_path / "night" / "a.fits")


def names(settling):
    whole, broken = settling.ready()
    return [w.path.name for w in whole], [b.path.name for b in broken]


def test_a_file_is_taken_once_it_has_not_changed_for_a_while(settling, clock, frame):
    settling.see(frame)
    assert names(settling) == ([], [])
    clock.now += 0.9
    assert names(settling) == ([], [])
    clock.now += 0.2
    assert names(settling) == (["a.fits"], [])
    settling.see(frame)
    clock.now += 5.0
    assert names(settling) == ([], [])


def test_a_file_that_was_renamed_into_its_place_is_taken_at_once(settling, frame):
    settling.see(frame, is_renamed=True)
    assert names(settling) == (["a.fits"], [])


def test_a_file_that_is_put_back_is_taken_again(settling, frame):
    settling.see(frame, is_renamed=True)
    whole, _ = settling.ready()
    settling.put_back(whole)
    again, _ = settling.ready()
    assert again == whole
    assert names(settling) == ([], [])


def test_a_file_of_yesterday_is_taken_at_once(settling, frame):
    os.utime(frame, (1e9, 1e9))
    settling.see(frame)
    (whole,), _ = settling.ready()
    assert whole.whole_at == 1e9


@pytest.mark.parametrize("part", [0, 100, 2880, 3000])
def test_a_file_that_grows_is_taken_when_its_end_has_come(settling, clock, frame, part):
    content = frame.read_bytes()
    frame.write_bytes(content[:part])
    settling.see(frame)
    for _ in range(3):
        clock.now += 2.0
        assert names(settling) == ([], [])
    frame.write_bytes(content)
    assert names(settling) == ([], [])
    clock.now += 1.1
    assert names(settling) == (["a.fits"], [])


def test_one_that_stays_cut_off_is_named_once_and_taken_if_it_is_completed(settling, clock, frame):
    content = frame.read_bytes()
    frame.write_bytes(content[:3000])
    settling.see(frame)
    assert names(settling) == ([], [])
    clock.now += 11.0
    _, (broken,) = settling.ready()
    assert "truncated" in broken.reason
    clock.now += 11.0
    assert names(settling) == ([], [])
    frame.write_bytes(content)
    settling.see(frame)
    settling.ready()
    clock.now += 1.1
    assert names(settling) == (["a.fits"], [])


def test_a_compressed_file_is_read_to_its_end(settling, clock, frame):
    whole = gzip.compress(frame.read_bytes())
    packed = frame.with_name("b.fits.gz")
    packed.write_bytes(whole[:-20])
    settling.see(packed, is_renamed=True)
    assert names(settling) == ([], [])
    packed.write_bytes(whole)
    assert names(settling) == (["b.fits.gz"], [])


def test_a_file_that_goes_away_again_is_forgotten(settling, frame):
    settling.see(frame)
    settling.ready()
    frame.unlink()
    assert names(settling) == ([], [])
    assert len(settling) == 0


@pytest.mark.parametrize("name", [".a.fits.f3Xz", ".a.fits", "~a.fits", "a.fits.part", "a.txt"])
def test_names_of_unfinished_files_are_not_looked_at(settling, tmp_path, name):
    assert not is_frame_name(tmp_path / name)
    settling.see(tmp_path / name)
    assert len(settling) == 0
