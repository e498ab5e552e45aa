"""A small simulated night, empty databases and frames with chosen headers."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from sqlalchemy import select, update

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.fits import interpret_header
from tianyu.pipelines.simulation import NightPlan, simulate_night
from tianyu.pipelines.step import find_step, validate
from tianyu.publisher.publishing import PublishOptions
from tianyu.publisher.registering import RegisterRequest, register
from tianyu.publisher.scanning import ScannedFrame
from tianyu.schema import migrate
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.directory import ensure_site
from tianyu.schema.states import ErrorKind, State
from tianyu.schema.tables import Process, Queue
from tianyu.schema.transitions import operator
from tianyu.schema.transitions.claim import claim_next
from tianyu.schema.transitions.finish import Failure, Usage, fail, succeed


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
        return ScannedFrame(Path(name), header, hashlib.sha256(name.encode()).hexdigest(), 1000)

    return make


@pytest.fixture
def make_master(installation, write_fits, tmp_path):
    """Return a function that registers one calibration frame and publishes its master."""
    made = []

    def make(kind, **cards):
        folder = tmp_path / f"master_{len(made)}"
        write_fits(folder / "frame.fits", kind, seed=len(made) + 1, **cards)
        request = RegisterRequest([folder], installation.site_id, installation.root)
        made.append(register(installation.database, request).observations[0])
        return made[-1]

    return make


@pytest.fixture
def end_process(installation):
    """Return a function that brings a ready process to an end, as a consumer would."""

    def end(process_id, state):
        def work(connection):
            if state is State.CANCELLED:
                operator.cancel(connection, [process_id])
                return
            queue_ids = list(connection.scalars(select(Queue.id)))
            connection.execute(update(Process).values(priority=100))
            connection.execute(update(Process).where(Process.id == process_id).values(priority=0))
            claim = claim_next(connection, queue_ids, "worker", 60.0)
            assert claim is not None
            assert claim.process_id == process_id
            if state is State.SUCCEEDED:
                succeed(connection, process_id, claim.token, Usage())
            else:
                failure = Failure(ErrorKind.PERMANENT, "the frame is black")
                fail(connection, process_id, claim.token, failure, Usage(), budget=3)

        installation.database.retry(work)

    return end


@dataclass(frozen=True)
class ReducedNight:
    """A small night reduced up to its light curves, diagnostics left out."""

    database: Database
    root: Path
    site_id: int
    run_id: int

    def context(self, process_id=1, command="relative_photometry"):
        """Return the surroundings of a step of the run of light frames."""
        return StepContext(
            self.database, process_id, self.run_id, command, 1, self.site_id, self.root
        )


@pytest.fixture(scope="session")
def reduced_night(night_folder, migrated_file, tmp_path_factory):
    """Return a night whose processes have been run one by one in this process."""
    root = tmp_path_factory.mktemp("reduced")
    shutil.copyfile(migrated_file, root / "tianyu.sqlite")
    database = Database(sqlite_url(root / "tianyu.sqlite"))
    site_id = database.retry(lambda c: ensure_site(c, "local", root, 60.0))
    options = PublishOptions(chunk_frames=5, fan_out=2)
    request = RegisterRequest([night_folder], site_id, root, options=options)
    light = register(database, request).observations[-1]
    night = ReducedNight(database, root, site_id, light.run.run_id)
    with database.read() as connection:
        queue_ids = list(connection.scalars(select(Queue.id)))
    while True:
        claim = database.retry(lambda c: claim_next(c, queue_ids, "worker", 600.0))
        if claim is None or claim.command == "diagnostics":
            break
        _run_one(night, claim)
    yield night
    database.dispose()


def _run_one(night, claim):
    """Run one process and commit its products with its success, as a consumer does."""
    context = StepContext(
        night.database, claim.process_id, claim.run_id, claim.command, claim.attempt,
        night.site_id, night.root,
    )  # fmt: skip
    step = find_step(claim.command)
    products = step.run(validate(claim.command, claim.parameters), context)

    def commit(connection):
        products.write(connection)
        succeed(connection, claim.process_id, claim.token, Usage())

    night.database.retry(commit)
