"""Pixels equal those of astropy for every layout, and bad files are refused in words."""

import bz2
import gzip
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tianyu.pipelines.errors import MissingInputError, PermanentError
from tianyu.pipelines.fits import (
    FitsError,
    image_shape,
    is_fits_name,
    limits,
    read_header,
    read_pixels,
)

TYPES = ["uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64"]


def ramp(dtype: str, shape=(37, 53)) -> np.ndarray:
    """Make an image that holds the type's smallest and largest values."""
    limits = np.finfo(dtype) if np.dtype(dtype).kind == "f" else np.iinfo(dtype)
    image = np.arange(shape[0] * shape[1]).reshape(shape).astype(dtype)
    image[0, 0], image[-1, -1] = limits.min, limits.max
    return image


def write(path: Path, *images: np.ndarray, names=(), **cards) -> Path:
    """Write the first image as the primary one, the rest as extensions."""
    hdus = fits.HDUList([fits.PrimaryHDU(images[0])])
    for image, name in zip(images[1:], names or [None] * len(images), strict=False):
        hdus.append(fits.ImageHDU(image, name=name))
    hdus[0].header.update(EXPTIME=1.0, **cards)
    hdus.writeto(path)
    return path


def check(pixels: np.ndarray, expected: np.ndarray) -> None:
    assert pixels.dtype == expected.dtype.newbyteorder("=")
    assert pixels.dtype.isnative
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(37, 53), (700, 601)])
def test_plain_images_keep_type_and_values(tmp_path, dtype, shape):
    image = ramp(dtype, shape)
    path = write(tmp_path / "a.fits", image)
    check(read_pixels(path), image)
    assert image_shape(path) == shape


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "float32"])
def test_the_same_pixels_from_every_compression(tmp_path, dtype):
    image = ramp(dtype)
    plain = write(tmp_path / "a.fits", image).read_bytes()
    gzipped, bzipped = tmp_path / "a.fits.gz", tmp_path / "a.fits.bz2"
    gzipped.write_bytes(gzip.compress(plain))
    bzipped.write_bytes(bz2.compress(plain))
    check(read_pixels(gzipped), image)
    check(read_pixels(bzipped), image)
    assert image_shape(gzipped) == image.shape


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32"])
def test_tile_compressed_images_are_lossless(tmp_path, dtype):
    image = np.arange(64 * 48).reshape(64, 48).astype(dtype)
    path = tmp_path / "a.fits.fz"
    header = fits.Header({"EXPTIME": 30.0, "OBJECT": "M13"})
    fits.CompImageHDU(image, header, compression_type="RICE_1").writeto(path)
    check(read_pixels(path), image)
    assert image_shape(path) == (64, 48)
    frame = read_header(path)
    assert (frame.width, frame.height, frame.object_name) == (48, 64, "M13")
    assert frame.ceiling_adu == {"int16": 32767.0, "uint16": 65535.0, "int32": 2.0**31 - 1}[dtype]


def test_tile_compressed_floats(tmp_path):
    image = np.random.default_rng(1).normal(100.0, 5.0, (64, 48)).astype(np.float32)
    path = tmp_path / "a.fits.fz"
    fits.CompImageHDU(image, compression_type="GZIP_1", quantize_level=0).writeto(path)
    check(read_pixels(path), image)


def test_other_scalings_give_floats(tmp_path):
    path = tmp_path / "a.fits"
    hdu = fits.PrimaryHDU(np.array([[1, 2], [3, 4]], np.int16))
    hdu.header.update(BSCALE=0.5, BZERO=10.0)
    with path.open("wb") as file:  # astropy's own writing would apply the scaling
        file.write(hdu.header.tostring().encode())
        file.write(np.array([1, 2, 3, 4], ">i2").tobytes().ljust(2880, b"\0"))
    check(read_pixels(path), np.array([[10.5, 11.0], [11.5, 12.0]], np.float32))


def test_blank_pixels_are_nan(tmp_path):
    image = np.array([[7, -999], [8, 9]], np.int16)
    path = write(tmp_path / "a.fits", image, BLANK=-999)
    check(read_pixels(path), np.array([[7, np.nan], [8, 9]], np.float32))
    path = write(tmp_path / "b.fits", image, BLANK=-1)
    check(read_pixels(path), image)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dtype=st.sampled_from(TYPES), width=st.integers(1, 40), height=st.integers(1, 40),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_equal_to_astropy(tmp_path, dtype, width, height, seed):
    content = np.random.default_rng(seed).bytes(width * height * np.dtype(dtype).itemsize)
    image = np.frombuffer(content, dtype).reshape(height, width)
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(image).writeto(path, overwrite=True)
    np.testing.assert_array_equal(read_pixels(path), fits.getdata(path, memmap=False))


def test_a_cube_of_one_plane_is_an_image(tmp_path):
    path = write(tmp_path / "a.fits", ramp("int16")[None])
    check(read_pixels(path), ramp("int16"))


def test_the_image_after_an_empty_primary_with_the_cards_of_both(tmp_path):
    path = tmp_path / "a.fits"
    primary = fits.PrimaryHDU(header=fits.Header({"EXPTIME": 30.0, "OBJECT": "field"}))
    image = fits.ImageHDU(ramp("uint16"), fits.Header({"OBJECT": "M13"}))
    fits.HDUList([primary, image]).writeto(path)
    check(read_pixels(path), ramp("uint16"))
    frame = read_header(path)
    assert (frame.exposure_s, frame.object_name, frame.ceiling_adu) == (30.0, "M13", 65535.0)


def test_a_mosaic_is_refused_unless_one_part_is_named(tmp_path):
    images = [ramp("int16") + part for part in range(3)]
    path = write(tmp_path / "a.fits", *images, names=["CCD1", "CCD2"])
    with pytest.raises(FitsError, match=r"images 0, 1 CCD1, 2 CCD2 have the same size"):
        read_pixels(path)
    check(read_pixels(path, extension="ccd2"), images[2])
    check(read_pixels(path, extension=1), images[1])
    with pytest.raises(FitsError, match="no two-dimensional image named 'CCD9'"):
        read_pixels(path, extension="CCD9")


def test_a_mask_beside_an_image_is_no_mosaic(tmp_path):
    path = write(tmp_path / "a.fits", ramp("float32"), ramp("uint8"), names=["BPM"])
    check(read_pixels(path), ramp("float32"))


def test_a_smaller_preview_is_passed_over(tmp_path):
    path = write(tmp_path / "a.fits", ramp("int16"), ramp("int16", (5, 5)))
    check(read_pixels(path), ramp("int16"))


def test_junk_after_the_image_is_passed_over(tmp_path):
    path = write(tmp_path / "a.fits", ramp("int16"))
    path.write_bytes(path.read_bytes() + b"junk" * 1000)
    check(read_pixels(path), ramp("int16"))


def test_missing_padding_does_not_matter(tmp_path):
    path = write(tmp_path / "a.fits", ramp("int16"))
    path.write_bytes(path.read_bytes()[: 2880 + 37 * 53 * 2])
    check(read_pixels(path), ramp("int16"))


@pytest.mark.parametrize("keep", [100, 2880, 2880 + 1000])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_a_truncated_file_is_refused(tmp_path, keep, pack):
    path = write(tmp_path / "a.fits", ramp("int16"))
    path.write_bytes(pack(path.read_bytes()[:keep]))
    with pytest.raises(FitsError, match=r"a\.fits: the file is truncated"):
        read_pixels(path)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_truncated_compressed_file_is_refused(tmp_path, pack):
    path = write(tmp_path / "a.fits.gz", ramp("int32"))
    packed = pack(path.read_bytes())
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(FitsError, match=r"a\.fits\.gz: the (compressed )?file is"):
        read_pixels(path)


@pytest.mark.parametrize("position", [0.3, 0.6, 0.9])
def test_a_corrupt_tile_never_fails_oddly(tmp_path, position):
    path = tmp_path / "a.fits.fz"
    fits.CompImageHDU(ramp("int16"), compression_type="GZIP_1").writeto(path)
    content = bytearray(path.read_bytes())
    start = int(len(content) * position)
    content[start : start + 600] = b"\xff" * 600
    path.write_bytes(content)
    with suppress(FitsError):
        assert read_pixels(path).shape == (37, 53)


@pytest.mark.parametrize("content", [b"", b"hello", b"<html>" * 1000, bytes(5760), b"\x1f\x8bno"])
def test_what_is_not_fits_is_refused(tmp_path, content):
    path = tmp_path / "a.fits"
    path.write_bytes(content)
    with pytest.raises(FitsError, match=r"a\.fits: (not a FITS file|the compressed file)"):
        read_pixels(path)


def header_block(**cards: object) -> bytes:
    lines = [f"{key:8}= {value:>20}".ljust(80) for key, value in cards.items()]
    return "".join([*lines, "END".ljust(80)]).ljust(2880).encode()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("side", [20_000, 10**9, 10**18])
def test_a_declared_size_beyond_the_limit_is_refused_before_allocation(tmp_path, pack, side):
    path = tmp_path / "bomb.fits"
    path.write_bytes(pack(header_block(SIMPLE="T", BITPIX=16, NAXIS=2, NAXIS1=side, NAXIS2=side)))
    with pytest.raises(FitsError, match=r"bomb\.fits: declares an image of"):
        read_pixels(path)


def test_the_limit_is_a_setting(tmp_path, monkeypatch):
    path = write(tmp_path / "a.fits", np.zeros((300, 300), np.int16))
    monkeypatch.setenv("TIANYU_MAX_IMAGE_PIXELS", "80000")
    limits.max_pixels.cache_clear()
    try:
        with pytest.raises(FitsError, match=r"300 × 300 pixels, above the limit of 80000"):
            read_pixels(path)
    finally:
        monkeypatch.undo()
        limits.max_pixels.cache_clear()
    assert read_pixels(path).shape == (300, 300)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_small_file_that_would_become_huge_is_refused_before_it_does(tmp_path, pack):
    header = header_block(SIMPLE="T", BITPIX=-32, NAXIS=2, NAXIS1=16384, NAXIS2=16384)
    path = tmp_path / "bomb.fits.gz"
    path.write_bytes(pack(header + bytes(10 * 2880)))
    with pytest.raises(FitsError, match=r"a file of \d+ bytes declares 10737\d+ bytes of content"):
        read_pixels(path)
    with pytest.raises(FitsError, match="made to exhaust"):
        read_header(path)


def test_many_units_in_a_compressed_file_are_counted_together(tmp_path, monkeypatch):
    # Zeros are stored 1000 times smaller than they are, which DEFLATE can do.
    monkeypatch.setattr(limits, "max_pixels", lambda: 2**18)
    unit = {"BITPIX": 64, "NAXIS": 2, "NAXIS1": 500, "NAXIS2": 500}
    body = bytes(-(-8 * 500 * 500 // 2880) * 2880)
    first = header_block(SIMPLE="T", **unit) + body
    other = header_block(XTENSION="'IMAGE   '", **unit, PCOUNT=0, GCOUNT=1) + body
    path = tmp_path / "bomb.fits.gz"
    path.write_bytes(gzip.compress(first + 6 * other))
    with pytest.raises(FitsError, match="bytes of content, above the limit of 8388608; split it"):
        read_pixels(path)


def test_a_tile_compressed_image_of_nothing_is_refused(tmp_path):
    path = tmp_path / "bomb.fits.fz"
    fits.CompImageHDU(np.zeros((40, 40), np.int16)).writeto(path)
    content = path.read_bytes()
    for axis in (b"ZNAXIS1 =", b"ZNAXIS2 ="):
        content = content.replace(axis + b"                   40", axis + b"                16000")
    path.write_bytes(content)
    with pytest.raises(FitsError, match="bytes declares 512000000 bytes of content"):
        read_pixels(path)


def test_a_header_without_end_is_refused(tmp_path):
    path = tmp_path / "blank.fits"
    path.write_bytes(gzip.compress(b"SIMPLE  = T".ljust(2880 * 3000)))
    with pytest.raises(FitsError, match="no END card in 1000 blocks"):
        read_pixels(path)


@pytest.mark.parametrize(
    "cards",
    [
        {"BITPIX": 7, "NAXIS": 2}, {"BITPIX": 16, "NAXIS": -1}, {"BITPIX": 16, "NAXIS": 2},
        {"BITPIX": 16, "NAXIS": 2, "NAXIS1": -5, "NAXIS2": 5}, {"BITPIX": 16, "NAXIS": 0},
        {"BITPIX": 16, "NAXIS": 3, "NAXIS1": 5, "NAXIS2": 5, "NAXIS3": 3},
    ],
)  # fmt: skip
def test_a_header_that_describes_no_image_is_refused(tmp_path, cards):
    path = tmp_path / "a.fits"
    path.write_bytes(header_block(SIMPLE="T", **cards) + bytes(2880))
    with pytest.raises(FitsError, match=r"a\.fits: .*(describe no data|no two-dimensional image)"):
        read_pixels(path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.integers(0, 5000))
def test_bytes_overwritten_anywhere_never_fail_oddly(tmp_path, junk, start):
    path = tmp_path / "a.fits"
    if not (tmp_path / "good.fits").exists():
        write(tmp_path / "good.fits", ramp("int16"))
    content = bytearray((tmp_path / "good.fits").read_bytes())
    content[start : start + len(junk)] = junk
    path.write_bytes(content)
    with suppress(FitsError):
        assert read_pixels(path).ndim == 2


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    junk=st.binary(max_size=120), place=st.floats(0, 1),
    kind=st.sampled_from(["a.fits", "a.fits.gz", "a.fits.fz"]), packed=st.booleans(),
)  # fmt: skip
def test_no_damage_makes_a_header_fail_oddly(tmp_path, junk, place, kind, packed):
    good = tmp_path / f"good-{kind}"
    if not good.exists():
        if kind.endswith(".fz"):
            fits.CompImageHDU(ramp("int16"), fits.Header({"EXPTIME": 1.0})).writeto(good)
        else:
            write(good, ramp("int16"), **{"DATE-OBS": "2024-01-01T00:00:00", "FILTER": "r"})
    content = bytearray(good.read_bytes())
    start = int(place * len(content))
    content[start : start + len(junk)] = junk
    path = tmp_path / kind
    path.write_bytes(gzip.compress(bytes(content)) if packed else content)
    with suppress(PermanentError):
        assert read_header(path).kind is not None
    with suppress(PermanentError):
        assert read_pixels(path).ndim == 2


def test_a_missing_file_is_a_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match=r"there is no file .*nowhere\.fits"):
        read_pixels(tmp_path / "nowhere.fits")


def test_names_of_fits_files():
    names = ["a.fits", "a.FIT", "a.fts", "a.FITS.fz", "a.fits.gz", "a.fit.bz2"]
    assert all(is_fits_name(name) for name in names)
    assert not any(
        is_fits_name(name) for name in ["a.jpg", "fits", "a.gz", "._a.fits", "a.fits.tmp"]
    )


def test_a_tile_compressed_image_within_a_compressed_file(tmp_path):
    path = tmp_path / "a.fits.fz"
    fits.CompImageHDU(ramp("int16"), tile_shape=(64, 64)).writeto(path)
    path.with_suffix(".gz").write_bytes(gzip.compress(path.read_bytes()))
    check(read_pixels(path), ramp("int16"))
    check(read_pixels(path.with_suffix(".gz")), ramp("int16"))
