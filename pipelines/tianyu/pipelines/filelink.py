"""The link to the file service of another site: how it is reached, and what its answers mean."""

import ssl
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import urllib3
from urllib3.exceptions import SSLError

from tianyu.pipelines.errors import MissingInputError, PermanentError

PATIENCE_S = 120.0
"""Without a single byte for so long an attempt ends and gives its place to other work."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as the owning site's service sends it.

    Attributes
    ----------
    url : str
    size_bytes : int
    sha256 : str or None
        None: not known here; the one that the service states is believed.
    """

    url: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True)
class LinkOptions:
    """How to reach a file service, and how much of the link to take.

    Attributes
    ----------
    token : str
        Shown to the service.
    tls_ca, tls_certificate, tls_key : Path or None
        Whom to trust, and who we are.
    limit_bytes_per_s : float or None
    patience_s : float
        How long to wait for a service that does not answer.
    """

    token: str = field(repr=False)
    tls_ca: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    limit_bytes_per_s: float | None = None
    patience_s: float = PATIENCE_S


class InterruptedTransferError(Exception):
    """The connection broke, or the service asks to come again."""


@dataclass
class Limiter:
    """Keeps the mean rate of one connection below a limit."""

    bytes_per_s: float | None
    _begun: float = field(default_factory=time.monotonic)
    _n_bytes: int = 0

    def pace(self, n_bytes: int) -> None:
        """Sleep until that many bytes more are allowed."""
        if self.bytes_per_s is None:
            return
        self._n_bytes += n_bytes
        early_s = self._begun + self._n_bytes / self.bytes_per_s - time.monotonic()
        if early_s > 0:
            time.sleep(early_s)


def open_pool(options: LinkOptions) -> urllib3.PoolManager:
    """Return what makes connections, and checks certificates where there are any."""
    return urllib3.PoolManager(
        cert_reqs="CERT_REQUIRED",
        ca_certs=None if options.tls_ca is None else str(options.tls_ca),
        cert_file=None if options.tls_certificate is None else str(options.tls_certificate),
        key_file=None if options.tls_key is None else str(options.tls_key),
    )


def refuse_strangers(error: Exception) -> None:
    """Raise where a service could not prove to be the one we trust.

    Raises
    ------
    PermanentError
    """
    cause = error.args[0] if isinstance(error, SSLError) and error.args else None
    if isinstance(cause, ssl.SSLCertVerificationError):
        raise PermanentError(
            f"the file service is not the one we trust: {cause}; check file_tls_ca and the "
            "site's address"
        ) from error


def judge(status: int, url: str) -> None:
    """Raise unless the service sends the file.

    Raises
    ------
    PermanentError
        If it refuses us, or is no file service.
    MissingInputError
        If it has no such file.
    InterruptedTransferError
        If it asks to come again.
    """
    if status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
        return
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise PermanentError(f"{url} refuses us ({status}); file_token must be that of its service")
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
        raise MissingInputError(f"{url} is gone ({status}); the site holds no such file any more")
    if status < HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.TOO_MANY_REQUESTS:
        raise PermanentError(f"{url} answers {status}; is the site's address that of its service?")
    raise InterruptedTransferError(f"it answers {status}")


def first_byte(content_range: str) -> int:
    """Return where a part begins.

    Examples
    --------
    >>> first_byte("bytes 100-199/200")
    100
    """
    first = content_range.removeprefix("bytes ").partition("-")[0]
    if not first.isdigit():
        raise PermanentError(f"the file service answers with a part {content_range!r} of a file")
    return int(first)
