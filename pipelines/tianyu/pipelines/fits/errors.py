"""The one error of the FITS side: a file or header from which nothing can be used."""

from tianyu.pipelines.errors import UnusableDataError


class HeaderError(UnusableDataError):
    """A header lacks, or contradicts, something that no assumption can replace."""


class FitsError(UnusableDataError):
    """A file is not FITS, is truncated or corrupt, or holds no image that can be chosen."""
