"""Whether a FITS file is all there: its writer may still be at work."""

from os import PathLike

from tianyu.pipelines.errors import PermanentError
from tianyu.pipelines.fits.hdus import scan_hdus
from tianyu.pipelines.fits.streams import open_fits, truncated


def missing_part(path: str | PathLike[str]) -> str | None:
    """Return what a file lacks to be read to its declared end; None if nothing.

    Of a plain file only headers are read; one that is compressed as a whole is read through.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    str or None
        In words, for people: truncated, not FITS (yet), corrupt.

    Raises
    ------
    OSError
        If the file cannot be read: its writer may hold a lock on it.
    """
    try:
        with open_fits(path) as stream:
            last = scan_hdus(stream)[-1]
            if stream.size_bytes is None and last.data_bytes:
                stream.content.seek(last.data_start + last.data_bytes - 1)
                if not stream.content.read(1):
                    raise truncated(stream.name, "the compressed data end before the image")
    except PermanentError as error:
        return str(error)
    return None
