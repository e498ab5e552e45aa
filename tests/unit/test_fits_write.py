"""Written files are whole or absent, read back as they were, and are told apart by their bytes."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from tianyu.pipelines.fits import checksum, fingerprint, read_pixels, write_image_fits


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64"]
)
def test_what_is_written_is_read_back(tmp_path, dtype):
    image = np.arange(35).reshape(5, 7) % 2 if dtype == "bool" else np.arange(35).reshape(5, 7) * 7
    image = image.astype(dtype)
    written = write_image_fits(tmp_path / "a.fits", [("IMAGE", image)], {})
    path = tmp_path / "a.fits"
    np.testing.assert_array_equal(read_pixels(path), image)
    np.testing.assert_array_equal(fits.getdata(path), image)
    assert written.size_bytes == path.stat().st_size
    assert written.sha256 == checksum(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_images_of_many_strips_are_whole(tmp_path):
    image = np.random.default_rng(3).integers(-(2**31), 2**31, (301, 1999), dtype=np.int32)
    written = write_image_fits(tmp_path / "a.fits", [("A", image), ("B", image[:, :7])], {})
    path = tmp_path / "a.fits"
    np.testing.assert_array_equal(fits.getdata(path, "A"), image)
    np.testing.assert_array_equal(fits.getdata(path, "B"), image[:, :7])
    assert written.size_bytes == path.stat().st_size
    assert written.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_several_planes_and_their_cards(tmp_path):
    mean, count = np.full((4, 6), 1.5, np.float32), np.full((4, 6), 9, np.uint16)
    cards = {"nframes": 9, "METHOD": ("mean", "of all frames"), "SIGMA_CLIPPED": True, "NAXIS": 5}
    path = tmp_path / "a.fits"
    write_image_fits(path, [("MEAN", mean), ("COUNT", count)], cards)
    with fits.open(path) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus] == ["MEAN", "COUNT"]
        header = hdus[0].header
        assert (header["NFRAMES"], header["METHOD"], header["SIGMA_CLIPPED"]) == (9, "mean", True)
        assert header.comments["METHOD"] == "of all frames"
        np.testing.assert_array_equal(hdus[1].data, count)
    np.testing.assert_array_equal(read_pixels(path, extension="COUNT"), count)
    np.testing.assert_array_equal(read_pixels(path, extension="MEAN"), mean)


def test_the_same_content_gives_the_same_bytes(tmp_path):
    image = np.eye(8, dtype=np.float32)
    hashes = {write_image_fits(tmp_path / name, [("A", image)], {"K": 1}).sha256 for name in "xy"}
    assert len(hashes) == 1


def test_arrays_in_any_order_and_layout_are_left_alone(tmp_path):
    image = np.asfortranarray(np.arange(12, dtype=">u2").reshape(3, 4))[::-1]
    before = image.copy()
    write_image_fits(tmp_path / "a.fits", [("A", image)], {})
    np.testing.assert_array_equal(read_pixels(tmp_path / "a.fits"), before)
    np.testing.assert_array_equal(image, before)


def test_an_existing_file_is_replaced(tmp_path):
    path = tmp_path / "a.fits"
    for value in (1, 2):
        write_image_fits(path, [("A", np.full((2, 2), value, np.int16))], {})
    assert read_pixels(path)[0, 0] == 2
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_nothing_is_left_behind_when_the_disk_fails(tmp_path, monkeypatch, call):
    path = tmp_path / "a.fits"
    write_image_fits(path, [("A", np.zeros((2, 2), np.int16))], {})

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OSError, match="No space left"):
        write_image_fits(path, [("A", np.ones((2, 2), np.int16))], {})
    assert list(tmp_path.iterdir()) == [path]
    assert read_pixels(path).max() == 0


@pytest.mark.parametrize(
    "array",
    [np.zeros(5), np.zeros((2, 2, 2)), np.zeros((0, 5)), np.zeros((2, 2), np.float16),
     np.zeros((2, 2), complex), np.zeros((2, 2), np.uint64)],
)  # fmt: skip
def test_what_fits_cannot_hold_is_refused(tmp_path, array):
    with pytest.raises(ValueError, match=r"array 'A' of shape .* cannot be written"):
        write_image_fits(tmp_path / "a.fits", [("A", array)], {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), "naïve", [1, 2, 3], "two\nlines"])
def test_a_card_that_fits_cannot_hold_is_refused(tmp_path, value):
    with pytest.raises(ValueError, match=r"card KEY = .* cannot be written"):
        write_image_fits(tmp_path / "a.fits", [("A", np.zeros((2, 2)))], {"KEY": value})


def test_nothing_to_write_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no array to write"):
        write_image_fits(tmp_path / "a.fits", [], {})


KIB = 1024


def test_a_fingerprint_is_of_the_size_and_both_ends(tmp_path):
    path = tmp_path / "a"
    content = bytes(range(256)) * KIB  # 256 KiB
    path.write_bytes(content)
    expected = hashlib.sha256(len(content).to_bytes(8, "big"))
    expected.update(content[: 64 * KIB] + content[-64 * KIB :])
    assert fingerprint(path).size_bytes == 256 * KIB
    assert fingerprint(path).header_sha256 == expected.hexdigest()


@pytest.mark.parametrize("size", [0, 10, 64 * KIB, 100 * KIB, 128 * KIB])
def test_every_byte_of_a_short_file_is_in_its_fingerprint_once(tmp_path, size):
    path = tmp_path / "a"
    content = np.random.default_rng(size).bytes(size)
    path.write_bytes(content)
    expected = hashlib.sha256(size.to_bytes(8, "big") + content).hexdigest()
    assert fingerprint(path).header_sha256 == expected
    assert checksum(path) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("position", [0, 64 * KIB - 1, -64 * KIB, -1])
def test_a_byte_at_either_end_changes_the_fingerprint(tmp_path, position):
    path = tmp_path / "a"
    content = bytearray(300 * KIB)
    path.write_bytes(content)
    before = fingerprint(path)
    content[position] = 1
    path.write_bytes(content)
    assert fingerprint(path) != before
