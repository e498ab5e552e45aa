"""FITS files: headers interpreted, pixels read, products written, files identified."""

from tianyu.pipelines.fits.errors import FitsError, HeaderError
from tianyu.pipelines.fits.fingerprint import Fingerprint, checksum, fingerprint
from tianyu.pipelines.fits.header import FrameHeader, interpret_header, read_header
from tianyu.pipelines.fits.kinds import FlatKind, FrameKind
from tianyu.pipelines.fits.pixels import image_shape, read_pixels
from tianyu.pipelines.fits.streams import FITS_SUFFIXES, is_fits_name
from tianyu.pipelines.fits.write import WrittenFile, write_image_fits

__all__ = [
    "FITS_SUFFIXES",
    "Fingerprint",
    "FitsError",
    "FlatKind",
    "FrameHeader",
    "FrameKind",
    "HeaderError",
    "WrittenFile",
    "checksum",
    "fingerprint",
    "image_shape",
    "interpret_header",
    "is_fits_name",
    "read_header",
    "read_pixels",
    "write_image_fits",
]
