"""Bringing a file of another site here: resumed where it broke off, whole or not at all.

What has come lies in a file beside the target that bears the checksum in its name. The content of
such a file is fixed, so that two attempts that write to it at once write the same bytes to the
same places, and an attempt goes on where the one before it died.
"""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO

import urllib3
from urllib3.exceptions import HTTPError

from tianyu.pipelines.atomic import TEMPORARY_ENDING, sync_folder
from tianyu.pipelines.errors import PermanentError, TransientError, UnreachableError
from tianyu.pipelines.filelink import (
    InterruptedTransferError,
    Limiter,
    LinkOptions,
    RemoteFile,
    first_byte,
    judge,
    open_pool,
    refuse_strangers,
)
from tianyu.pipelines.fits.fingerprint import checksum

logger = logging.getLogger(__name__)

BLOCK_BYTES = 64 * 1024
CONNECT_S = 10.0
SILENCE_S = 20.0
"""A connection that brings nothing for so long is given up and made anew."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0


def pull(
    remote: RemoteFile,
    target: Path,
    options: LinkOptions,
    on_bytes: Callable[[int, int], None] = lambda _n, _total: None,
) -> str:
    """Bring a file here, and return its SHA-256.

    Parameters
    ----------
    remote : RemoteFile
    target : Path
        Appears whole, and with the right checksum, or not at all. One that is there already is
        checked and kept.
    options : LinkOptions
    on_bytes : callable
        Told how many bytes have come just now, and in all.

    Raises
    ------
    UnreachableError
        If the service has not answered for longer than the patience; what has come is kept.
    TransientError
        If what has come has another checksum; it is thrown away.
    MissingInputError
        If the service does not have the file any more.
    PermanentError
        If the service refuses us, or is not the one we trust.
    OSError
        If the disk does not take it.
    """
    if remote.sha256 is not None and _is_whole(target, remote.size_bytes, remote.sha256):
        return remote.sha256
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(_part_name(target, remote.sha256))
    with open_pool(options) as pool:
        session = _Session(pool, remote, options, on_bytes)
        session.complete(part)
    return _put_in_place(part, target, remote, session.stated_sha256)


@dataclass
class _Session:
    """One file on its way, over as many connections as it takes."""

    pool: urllib3.PoolManager
    remote: RemoteFile
    options: LinkOptions
    on_bytes: Callable[[int, int], None]
    stated_sha256: str | None = None

    def complete(self, part: Path) -> None:
        """Fetch what is missing of a partial file."""
        part.touch()
        with part.open("r+b") as file:
            last_news, pause_s = time.monotonic(), FIRST_PAUSE_S
            # An empty file needs a connection too, to learn what it should be.
            while self._missing(file) or self._is_unknown:
                before = _length(file)
                try:
                    self._fetch(file)
                except (InterruptedTransferError, HTTPError) as error:
                    refuse_strangers(error)
                    if _length(file) > before:
                        last_news, pause_s = time.monotonic(), FIRST_PAUSE_S
                    self._be_patient(error, last_news, pause_s)
                    pause_s = min(2.0 * pause_s, LONGEST_PAUSE_S)
            file.flush()
            os.fsync(file.fileno())

    @property
    def _is_unknown(self) -> bool:
        return self.remote.sha256 is None and self.stated_sha256 is None

    def _missing(self, file: IO[bytes]) -> int:
        return max(0, self.remote.size_bytes - _length(file))

    def _fetch(self, file: IO[bytes]) -> None:
        start = _length(file)
        headers = {
            "Authorization": f"Bearer {self.options.token}",
            # Compressed by the way, a part would not begin where it should.
            "Accept-Encoding": "identity",
        }
        known = self.remote.sha256 or self.stated_sha256
        if start and start < self.remote.size_bytes and known:
            headers |= {"Range": f"bytes={start}-", "If-Range": f'"{known}"'}
        response = self.pool.request(
            "GET",
            self.remote.url,
            headers=headers,
            preload_content=False,
            # A token is for the site that was asked, not for where it points.
            redirect=False,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_S, read=SILENCE_S),
        )
        try:
            self._take(response, file)
        finally:
            response.close()

    def _take(self, response: urllib3.BaseHTTPResponse, file: IO[bytes]) -> None:
        judge(response.status, self.remote.url)
        self._check_identity(response)
        is_part = response.status == HTTPStatus.PARTIAL_CONTENT
        place = first_byte(response.headers.get("Content-Range", "")) if is_part else 0
        limiter = Limiter(self.options.limit_bytes_per_s)
        for block in response.stream(BLOCK_BYTES, decode_content=False):
            if place + len(block) > self.remote.size_bytes:
                raise PermanentError(f"{self.remote.url} sends more than was registered")
            file.seek(place)
            file.write(block)
            file.flush()
            place += len(block)
            self.on_bytes(len(block), place)
            limiter.pace(len(block))
        if place < self.remote.size_bytes:
            raise InterruptedTransferError(
                f"it ended after {place} of {self.remote.size_bytes} bytes"
            )

    def _check_identity(self, response: urllib3.BaseHTTPResponse) -> None:
        stated = response.headers.get("ETag", "").strip('"')
        if self.remote.sha256 is not None and stated != self.remote.sha256:
            raise PermanentError(
                f"{self.remote.url} is another file than was registered: its SHA-256 is "
                f"{stated or 'not stated'}, that of the database {self.remote.sha256}"
            )
        if not stated:
            raise PermanentError(f"{self.remote.url} does not state its SHA-256; is it ours?")
        self.stated_sha256 = stated

    def _be_patient(self, error: Exception, last_news: float, pause_s: float) -> None:
        waited_s = time.monotonic() - last_news
        if waited_s + pause_s > self.options.patience_s:
            raise UnreachableError(
                f"{self.remote.url} has brought nothing for {waited_s:.0f} s: {error}; what has "
                "come is kept"
            ) from error
        logger.warning(
            "%s: %s; trying again in %g s", self.remote.url, error, pause_s,
            extra={"action": "wait"},
        )  # fmt: skip
        time.sleep(pause_s)


def _part_name(target: Path, sha256: str | None) -> str:
    number = target.name.partition(".")[0]
    return f".{number}.{(sha256 or 'unknown')[:16]}{TEMPORARY_ENDING}"


def _length(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _is_whole(path: Path, size_bytes: int, sha256: str) -> bool:
    return path.is_file() and path.stat().st_size == size_bytes and checksum(path) == sha256


def _put_in_place(part: Path, target: Path, remote: RemoteFile, stated: str | None) -> str:
    expected = remote.sha256 or stated or ""
    try:
        found = checksum(part)
        if found != expected:
            part.unlink()
            raise TransientError(
                f"what {remote.url} has sent is damaged: its SHA-256 is {found}, not {expected}; "
                "it is fetched anew"
            )
        part.replace(target)
    except FileNotFoundError:
        # An attempt that was thought dead has put it in place.
        if not _is_whole(target, remote.size_bytes, expected):
            raise
    sync_folder(target.parent)
    return expected
