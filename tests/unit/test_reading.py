"""Frames are read once, one ahead, and what cannot be read does not stop the others."""

import gzip
import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits

from tianyu.pipelines.context import FileTraffic
from tianyu.pipelines.errors import MissingInputError
from tianyu.pipelines.fits.errors import FitsError
from tianyu.pipelines.fits.pixels import read_pixels, read_pixels_and_checksum
from tianyu.pipelines.frames import FrameFile
from tianyu.pipelines.reading import read_ahead

PIXELS = np.arange(60_000, 60_000 + 20 * 30, dtype=np.uint16).reshape(20, 30)


def frame_file(path: Path, number: int) -> FrameFile:
    return FrameFile(number, "light", path.name, path, 0, 30, 20, 1.0, None, None, {})


@pytest.fixture
def frames(tmp_path):
    paths = [tmp_path / name for name in ("a.fits", "b.fits.gz", "c.fits.fz", "d.fits")]
    fits.writeto(paths[0], PIXELS)
    paths[1].write_bytes(gzip.compress(paths[0].read_bytes()))
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(PIXELS)]).writeto(paths[2])
    # The image between other units, and bytes after the last one that belong to none.
    units = [fits.PrimaryHDU(), fits.ImageHDU(PIXELS), fits.ImageHDU(np.zeros((3, 4)))]
    fits.HDUList(units).writeto(paths[3])
    paths[3].write_bytes(paths[3].read_bytes() + b"written by another program")
    return paths


def test_pixels_and_checksum_are_those_of_the_file(frames):
    for path in frames:
        pixels, checksum = read_pixels_and_checksum(path)
        np.testing.assert_array_equal(pixels, read_pixels(path))
        assert pixels.dtype == PIXELS.dtype
        assert checksum == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("n_bytes", [100, 2880, 3500])
def test_a_cut_file_is_refused_in_the_same_words(frames, n_bytes):
    frames[0].write_bytes(frames[0].read_bytes()[:n_bytes])
    with pytest.raises(FitsError) as expected:
        read_pixels(frames[0])
    with pytest.raises(FitsError) as found:
        read_pixels_and_checksum(frames[0])
    assert str(found.value) == str(expected.value)


def test_frames_arrive_in_order_with_their_bytes_counted(frames):
    context = SimpleNamespace(traffic=FileTraffic())
    files = [frame_file(path, i) for i, path in enumerate(frames)]
    sizes = np.cumsum([path.stat().st_size for path in frames])
    for i, arrival in enumerate(read_ahead(context, files, with_checksum=True)):
        assert arrival.file is files[i]
        np.testing.assert_array_equal(arrival.raw().pixels, PIXELS)
        assert arrival.checksum == hashlib.sha256(frames[i].read_bytes()).hexdigest()
        assert context.traffic.read == sizes[i]


def test_a_frame_that_is_gone_is_named_when_it_is_wanted(frames):
    context = SimpleNamespace(traffic=FileTraffic())
    files = [frame_file(path, i) for i, path in enumerate(frames)]
    frames[1].unlink()
    arrivals = list(read_ahead(context, files))
    assert [arrival.content is None for arrival in arrivals] == [False, True, False, False]
    assert arrivals[1].checksum is None
    with pytest.raises(MissingInputError, match=r"b\.fits\.gz is gone"):
        arrivals[1].raw()


def test_nothing_to_read_is_no_fault():
    assert list(read_ahead(SimpleNamespace(traffic=FileTraffic()), [])) == []
