"""A small simulated night, empty databases and frames with chosen headers."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from tianyu.pipelines.fits import interpret_header
from tianyu.pipelines.simulation import NightPlan, simulate_night
from tianyu.publisher.scanning import ScannedFrame
from tianyu.schema import migrate
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.directory import ensure_site


@dataclass(frozen=True)
class Installation:
    """An empty database with one site."""

    database: Database
    site_id: int
    root: Path


@pytest.fixture(scope="session")
def night_folder(tmp_path_factory):
    """Return the frames of one small night: 5 biases, 3 darks, 5 flats, 12 lights, 256×256."""
    folder = tmp_path_factory.mktemp("night")
    simulate_night(NightPlan.small(), folder)
    return folder


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory):
    """Return a SQLite file with all tables: copying it is quicker than migrating anew."""
    path = tmp_path_factory.mktemp("schema") / "empty.sqlite"
    database = Database(sqlite_url(path))
    migrate.upgrade(database)
    database.dispose()
    return path


@pytest.fixture
def installation(migrated_file, tmp_path):
    """Return an empty database beside an empty root."""
    root = tmp_path / "root"
    root.mkdir()
    shutil.copyfile(migrated_file, tmp_path / "tianyu.sqlite")
    database = Database(sqlite_url(tmp_path / "tianyu.sqlite"))
    site_id = database.retry(lambda c: ensure_site(c, "local", root, 60.0))
    yield Installation(database, site_id, root)
    database.dispose()


@pytest.fixture
def write_fits():
    """Return a function that writes a FITS file of 16×16 pixels with chosen cards."""

    def write(path, kind="LIGHT", *, shape=(16, 16), seed=0, **cards):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(900, 1100, shape).astype(np.int16)
        hdu = fits.PrimaryHDU(pixels)
        defaults = {
            "IMAGETYP": kind,
            "EXPTIME": 0.0 if kind == "BIAS" else 60.0,
            "DATE-OBS": "2025-03-17T02:50:00",
            "INSTRUME": "Cam",
            "TELESCOP": "Tel",
        }
        if kind in {"LIGHT", "FLAT"}:
            defaults["FILTER"] = "r"
        # A telescope without a longitude, unless a test gives one.
        for key, value in {
            **defaults,
            **{k.replace("_", "-"): v for k, v in cards.items()},
        }.items():
            if value is not None:
                hdu.header[key] = value
        hdu.writeto(path)
        return path

    return write


@pytest.fixture(scope="session")
def scanned():
    """Return a function that makes a scanned frame from cards, without a file."""

    def make(name="light_0001.fits", kind="LIGHT", *, shape=(16, 16), **cards):
        defaults = {
            "IMAGETYP": kind,
            "EXPTIME": 60.0,
            "DATE-OBS": "2025-03-17T02:50:00",
            "INSTRUME": "Cam",
            "TELESCOP": "Tel",
        }
        if kind in {"LIGHT", "FLAT"}:
            defaults["FILTER"] = "r"
        merged = {**defaults, **{key.replace("_", "-"): value for key, value in cards.items()}}
        known = {key: value for key, value in merged.items() if value is not None}
        header = interpret_header(known, name=name, shape=shape)
        return ScannedFrame(Path(name), header, f"{abs(hash(name)):064x}"[:64], 1000)

    return make
