"""Two sites with a root each in one database, and frames of one of them."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update
from tests.integration.sites.service import serving

from tianyu.cli.fileservice.copies import SiteFiles
from tianyu.schema import migrate
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.directory import ensure_site
from tianyu.schema.tables import Image, ImageCopy, Site


@dataclass(frozen=True)
class TwoSites:
    """An observatory, whose files are served, and a data centre."""

    database: Database
    observatory: int
    centre: int
    folder: Path

    def root(self, name: str) -> Path:
        return self.folder / name

    @property
    def files(self) -> SiteFiles:
        return SiteFiles(self.database, self.observatory, self.root("observatory"))

    def set_address(self, address: str) -> None:
        with self.database.write() as connection:
            here = Site.id == self.observatory
            connection.execute(update(Site).where(here).values(address=address))

    def add_image(
        self, content: bytes, path: str = "raw/000001/light.fits", *, checksum: bool = True
    ) -> int:
        """Put a file under the observatory's root and register it."""
        file = self.root("observatory") / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        with self.database.write() as connection:
            image = connection.execute(
                insert(Image).values(
                    kind="light", name=file.name, width=1, height=1, binning=1, header={}
                )
            )
            image_id = int(image.inserted_primary_key[0])
            connection.execute(
                insert(ImageCopy).values(
                    image_id=image_id,
                    site_id=self.observatory,
                    path=path,
                    size_bytes=len(content),
                    checksum=hashlib.sha256(content).hexdigest() if checksum else None,
                    created_us=0,
                )
            )
        return image_id

    def copies_at(self, site_id: int) -> list[str]:
        query = select(ImageCopy.path).where(ImageCopy.site_id == site_id)
        with self.database.read() as connection:
            return list(connection.scalars(query))


@pytest.fixture(scope="module")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("schema") / "empty.sqlite"
    database = Database(sqlite_url(path))
    migrate.upgrade(database)
    database.dispose()
    return path


@pytest.fixture
def sites(tmp_path: Path, migrated_file: Path) -> Iterator[TwoSites]:
    shutil.copyfile(migrated_file, tmp_path / "tianyu.sqlite")
    database = Database(sqlite_url(tmp_path / "tianyu.sqlite"))

    def made(name: str) -> int:
        (tmp_path / name).mkdir()
        return database.retry(lambda c: ensure_site(c, name, tmp_path / name, 60.0))

    yield TwoSites(database, made("observatory"), made("centre"), tmp_path)
    database.dispose()


@pytest.fixture
def address(sites: TwoSites) -> Iterator[str]:
    """The address of the observatory's file service."""
    with serving(sites.files) as url:
        sites.set_address(url)
        yield url


Content = Callable[[int], bytes]


@pytest.fixture
def content() -> Content:
    """Return a function that makes bytes of which no two kilobytes are alike."""
    return lambda n: b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(n // 32 + 1))[:n]
