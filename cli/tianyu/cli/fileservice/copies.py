"""Which file an image is at this site, if it is what was registered."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sqlalchemy import select

from tianyu.pipelines.fits.fingerprint import checksum
from tianyu.schema.database import Database
from tianyu.schema.paths import resolve
from tianyu.schema.tables import ImageCopy

KEPT_CHECKSUMS = 4096


@dataclass(frozen=True)
class ServedFile:
    """A file that may be sent; ``sha256`` is what the receiver compares it with."""

    path: Path
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class SiteFiles:
    """The registered files of one site.

    Attributes
    ----------
    root : Path
        Nothing outside it is ever sent, whatever a row says.
    """

    database: Database
    site_id: int
    root: Path

    def find(self, image_id: int) -> ServedFile | None:
        """Return the copy of an image here; None if there is none, or the file is another one.

        Raises
        ------
        UnsafePathError
            If the stored path leads out of the root.
        sqlalchemy.exc.DBAPIError
            If the database does not answer.
        """
        query = select(ImageCopy.path, ImageCopy.size_bytes, ImageCopy.checksum).where(
            ImageCopy.image_id == image_id, ImageCopy.site_id == self.site_id
        )
        with self.database.read() as connection:
            copy = connection.execute(query).one_or_none()
        if copy is None:
            return None
        path = resolve(self.root, copy.path)
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        if not path.is_file() or status.st_size != copy.size_bytes:
            return None
        # Raw frames are registered by a fingerprint; their checksum is computed when asked for.
        sha256 = copy.checksum or _checksum(path, status.st_size, status.st_mtime_ns)
        return ServedFile(path, status.st_size, sha256)


@lru_cache(maxsize=KEPT_CHECKSUMS)
def _checksum(path: Path, _size_bytes: int, _changed_ns: int) -> str:
    return checksum(path)
