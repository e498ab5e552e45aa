"""Bringing a file of another site here: resumed where it broke off, whole or not at all.

What has come lies in a file beside the target that bears the checksum in its name. The content of
such a file is fixed, so that two attempts that write to it at once write the same bytes to the
same places, and an attempt goes on where the one before it died.
"""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
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
    with open_pool(options) as pool:
        session = _Session(pool, remote, options, on_bytes)
        sha256 = remote.sha256 or session.learn()
        if _is_whole(target, remote.size_bytes, sha256):
            return sha256
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(_part_name(target, sha256))
        session.complete(part, sha256)
    _put_in_place(part, target, remote, sha256)
    return sha256


@dataclass
class _Session:
    """One file on its way, over as many connections as it takes."""

    pool: urllib3.PoolManager
    remote: RemoteFile
    options: LinkOptions
    on_bytes: Callable[[int, int], None]

    def learn(self) -> str:
        """Ask the service for the SHA-256 of the file."""
        patience = _Patience(self.remote.url, self.options.patience_s)
        while True:
            try:
                response = self._request("HEAD", {})
                judge(response.status, self.remote.url)
                return self._stated_sha256(response)
            except (InterruptedTransferError, HTTPError) as error:
                refuse_strangers(error)
                patience.wait(error)

    def complete(self, part: Path, sha256: str) -> None:
        """Fetch what is missing of a partial file."""
        part.touch()
        patience = _Patience(self.remote.url, self.options.patience_s)
        with part.open("r+b") as file:
            while (before := _length(file)) < self.remote.size_bytes:
                try:
                    self._fetch(file, before, sha256)
                except (InterruptedTransferError, HTTPError) as error:
                    refuse_strangers(error)
                    if _length(file) > before:
                        patience.renew()
                    patience.wait(error)
            file.flush()
            os.fsync(file.fileno())

    def _fetch(self, file: IO[bytes], start: int, sha256: str) -> None:
        # Of another file by now the service sends the whole, and is found out.
        part = {"Range": f"bytes={start}-", "If-Range": f'"{sha256}"'} if start else {}
        response = self._request("GET", part)
        try:
            judge(response.status, self.remote.url)
            stated = self._stated_sha256(response)
            if stated != sha256:
                raise PermanentError(
                    f"{self.remote.url} is another file than was registered: its SHA-256 is "
                    f"{stated}, not {sha256}"
                )
            self._take(response, file)
        finally:
            response.close()

    def _request(self, method: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        return self.pool.request(
            method,
            self.remote.url,
            # Compressed by the way, a part would not begin where it should.
            headers={
                "Authorization": f"Bearer {self.options.token}",
                "Accept-Encoding": "identity",
                **headers,
            },
            preload_content=False,
            # A token is for the site that was asked, not for where it points.
            redirect=False,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_S, read=SILENCE_S),
        )

    def _take(self, response: urllib3.BaseHTTPResponse, file: IO[bytes]) -> None:
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

    def _stated_sha256(self, response: urllib3.BaseHTTPResponse) -> str:
        stated = response.headers.get("ETag", "").strip('"')
        if not stated:
            raise PermanentError(f"{self.remote.url} does not state its SHA-256; is it ours?")
        return stated


@dataclass
class _Patience:
    """Waits between tries, longer each time, and gives up where nothing has come for long."""

    url: str
    limit_s: float
    _last_news: float = field(default_factory=time.monotonic)
    _pause_s: float = field(default_factory=lambda: FIRST_PAUSE_S)

    def renew(self) -> None:
        """Note that something has come."""
        self._last_news, self._pause_s = time.monotonic(), FIRST_PAUSE_S

    def wait(self, error: Exception) -> None:
        """Sleep before the next try.

        Raises
        ------
        UnreachableError
            If there would be no end to it.
        """
        waited_s = time.monotonic() - self._last_news
        if waited_s + self._pause_s > self.limit_s:
            raise UnreachableError(
                f"{self.url} has brought nothing for {waited_s:.0f} s: {error}; what has come is "
                "kept"
            ) from error
        logger.warning(
            "%s: %s; trying again in %g s", self.url, error, self._pause_s,
            extra={"action": "wait"},
        )  # fmt: skip
        time.sleep(self._pause_s)
        self._pause_s = min(2.0 * self._pause_s, LONGEST_PAUSE_S)


def _part_name(target: Path, sha256: str) -> str:
    number = target.name.partition(".")[0]
    return f".{number}.{sha256[:16]}{TEMPORARY_ENDING}"


def _length(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _is_whole(path: Path, size_bytes: int, sha256: str) -> bool:
    return path.is_file() and path.stat().st_size == size_bytes and checksum(path) == sha256


def _put_in_place(part: Path, target: Path, remote: RemoteFile, sha256: str) -> None:
    try:
        found = checksum(part)
        if found != sha256:
            part.unlink()
            raise TransientError(
                f"what {remote.url} has sent is damaged: its SHA-256 is {found}, not {sha256}; "
                "it is fetched anew"
            )
        part.replace(target)
    except FileNotFoundError:
        # An attempt that was thought dead has put it in place.
        if not _is_whole(target, remote.size_bytes, sha256):
            raise
    sync_folder(target.parent)
