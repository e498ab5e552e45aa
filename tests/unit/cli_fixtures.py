"""A tiny survey in SQLite, with an answer by hand for everything that the commands show.

Run 1 (``light_curves``, done): six frames of HAT-P-32, the fifth rejected for cloud; sources 1
(the target), 2 (a bright reference star, 3″ north of it) and 3 (far away, no coordinates);
radii 3 and 4 px. Run 2 (``light_curves``): a flat failed, a dark was cancelled, work waits for
one or both of them, one process runs and one is ready.
"""

import json
import shutil
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, update
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from tianyu.cli.main import app
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.directory import ensure_queue, ensure_site, register_worker
from tianyu.schema.migrate import upgrade
from tianyu.schema.states import ErrorKind
from tianyu.schema.tables import (
    Aperture,
    Attempt,
    Flux,
    Frame,
    FrameVerdict,
    Image,
    Instrument,
    Observation,
    OpticalFilter,
    Process,
    Reduction,
    RelativeFlux,
    Sky,
    Source,
    SourcePhotometry,
    SourcePosition,
    Target,
)
from tianyu.schema.transitions import finish, operator
from tianyu.schema.transitions.blocking import reconcile
from tianyu.schema.transitions.claim import claim_next
from tianyu.schema.transitions.finish import Failure, Usage
from tianyu.schema.transitions.publish import ProcessSpec, RunSpec, insert_graph, insert_run

PID = 1_766_100_000_000_000_000
"""Ids of this size lose digits in a double; no answer may."""

ALIGN, SELECT, RELATIVE = PID + 1, PID + 2, PID + 3
FLAT, DARK, SHIFTED, SHIFTED_TOO, MEASURED, RUNNING, READY = range(PID + 11, PID + 18)

START = datetime(2017, 12, 20, 4, 0)
JD_START = 2458107.6666666665
JD_TO_BJD = 0.004412345678901
RELATIVE_FLUX = (1.0, 1.01, 0.99, 1.02, 0.4, 0.98)
"""Of the target, in time; the fifth frame is the rejected one."""
FLAT_ERROR = "MissingInputError: no flat frame in filter r\nregister some and retry"


def invoke(url: str, *arguments: str, code: int = 0, **env: str) -> str:
    """Run a command on a database and return what it printed; errors are on its end."""
    runner = CliRunner()
    result = runner.invoke(
        app, list(arguments), env={"TIANYU_DATABASE_URL": url, "COLUMNS": "200", **env}
    )
    assert result.exit_code == code, result.output + repr(result.exception)
    return result.output


def answer(url: str, *arguments: str) -> Any:
    """Run a command with ``--json`` and return its answer."""
    return json.loads(invoke(url, *arguments, "--json"))


def build_survey(folder: Path, url: str | None = None) -> str:
    """Fill a database, a file in the folder unless one is named, and return its URL."""
    url = url or sqlite_url(folder / "tianyu.sqlite")
    database = Database(url)
    upgrade(database)
    with database.write() as connection:
        site = ensure_site(connection, "mountain", folder, 60.0)
        queue = ensure_queue(connection, site, "cpu")
        worker = register_worker(connection, site, ["cpu"])
        _publish_done(connection, queue, worker)
        _add_sky(connection, site)
        _add_frames(connection)
        _add_photometry(connection)
        _publish_troubled(connection, queue, worker)
    while database.retry(reconcile):
        pass
    database.dispose()
    return url


def copy_survey(url: str, folder: Path) -> str:
    """Copy a database, for a test that changes it; return the URL of the copy."""
    path = shutil.copy(make_url(url).database or "", folder / "copy.sqlite")
    return sqlite_url(Path(path))


# -- the engine -------------------------------------------------------------------------


def _spec(pid: int, command: str, queue: int, *parents: int, priority: int = 100) -> ProcessSpec:
    return ProcessSpec(pid, command, {"name": command}, queue, parents, priority)


def _publish(connection: Connection, key: str, *processes: ProcessSpec) -> None:
    spec = RunSpec(key, "light_curves", 1, {}, "0.1.0", processes)
    insert_graph(connection, insert_run(connection, spec), processes)


def _publish_done(connection: Connection, queue: int, worker: str) -> None:
    _publish(
        connection,
        "done",
        _spec(ALIGN, "calibrate_align", queue),
        _spec(SELECT, "select_frames", queue, ALIGN),
        _spec(RELATIVE, "relative_photometry", queue, SELECT),
    )
    for pid in (ALIGN, SELECT, RELATIVE):
        claim = claim_next(connection, [queue], worker, 60.0)
        assert claim is not None
        usage = Usage(
            cpu_s=1.5, peak_memory_bytes=200_000_000, bytes_read=12_000_000, bytes_written=600_000
        )
        finish.succeed(connection, pid, claim.token, usage)
    # Times by hand: 3 s each, one after the other.
    for i, pid in enumerate((ALIGN, SELECT, RELATIVE)):
        begin = 1_700_000_000_000_000 + i * 3_000_000
        times = {"started_us": begin, "finished_us": begin + 3_000_000}
        connection.execute(update(Attempt).where(Attempt.process_id == pid).values(**times))
        connection.execute(update(Process).where(Process.id == pid).values(**times))


def _publish_troubled(connection: Connection, queue: int, worker: str) -> None:
    _publish(
        connection,
        "troubled",
        _spec(FLAT, "master_flat", queue, priority=1),
        _spec(DARK, "master_dark", queue, priority=3),
        _spec(SHIFTED, "calibrate_align", queue, FLAT),
        _spec(SHIFTED_TOO, "calibrate_align", queue, FLAT),
        _spec(MEASURED, "extract_flux", queue, SHIFTED, DARK),
        _spec(RUNNING, "master_bias", queue, priority=2),
        _spec(READY, "diagnostics", queue, priority=4),
    )
    flat = claim_next(connection, [queue], worker, 60.0)
    assert flat is not None
    assert flat.process_id == FLAT
    failure = Failure(ErrorKind.PERMANENT, FLAT_ERROR)
    finish.fail(connection, FLAT, flat.token, failure, Usage(cpu_s=0.25), budget=3)
    running = claim_next(connection, [queue], worker, 60.0)
    assert running is not None
    assert running.process_id == RUNNING
    operator.cancel(connection, [DARK])


# -- the survey -------------------------------------------------------------------------


def _add(connection: Connection, table: Any, *rows: Mapping[str, Any]) -> None:
    for row in rows:
        connection.execute(insert(table).values(**row))


def _add_sky(connection: Connection, site: int) -> None:
    _add(
        connection,
        Instrument,
        {"id": 1, "name": "camera", "site_id": site, "default_recipe": "light_curves"},
    )
    _add(connection, OpticalFilter, {"id": 1, "name": "r"})
    place = {"ra_deg": 31.042825, "dec_deg": 46.687837}
    _add(connection, Target, {"id": 1, "name": "HAT-P-32", "kind": "star", **place})
    _add(connection, Target, {"id": 2, "name": "TrES-5", "kind": "star"})
    _add(connection, Sky, {"id": 1, "name": "field"})
    observation = {"kind": "light", "target_id": 1, "sky_id": 1, "instrument_id": 1, "filter_id": 1}
    _add(
        connection,
        Observation,
        {"id": 1, "name": "HAT-P-32, r, 2017-12-19", "created_us": 0, **observation},
    )
    image = {"kind": "template", "width": 100, "height": 80, "binning": 1, "header": {}}
    _add(connection, Image, {"id": 100, "name": "template", "run_id": 1, **image})
    _add(
        connection,
        Reduction,
        {
            "run_id": 1,
            "observation_id": 1,
            "flux_unit": "electron",
            "template_image_id": 100,
            "notes": {},
        },
    )
    connection.execute(update(Observation).values(current_run_id=1))
    _add(
        connection,
        Source,
        {"id": 1, "sky_id": 1, "target_id": 1, "birth": ALIGN, "is_forced": False},
        {"id": 2, "sky_id": 1, "birth": ALIGN, "is_forced": False},
        {"id": 3, "sky_id": 1, "birth": ALIGN, "is_forced": False},
    )
    north = {"ra_deg": 31.042825, "dec_deg": 46.687837 + 3.0 / 3600.0}
    _add(
        connection,
        SourcePosition,
        {"template_image_id": 100, "source_id": 1, "x": 50.0, "y": 40.0, **place},
        {"template_image_id": 100, "source_id": 2, "x": 50.0, "y": 43.0, **north},
        {"template_image_id": 100, "source_id": 3, "x": 10.0, "y": 70.0},
    )


def _add_frames(connection: Connection) -> None:
    for i in range(6):
        mid = START + timedelta(minutes=5 * i)
        jd = JD_START + 5 * i / 1440.0
        is_good = i != 4
        image = {"kind": "light", "observation_id": 1, "width": 101, "height": 81, "binning": 1}
        name = {"id": i + 1, "name": f"frame_{i + 1}.fits", "exposure_s": 60.0, "utc_mid": mid}
        _add(connection, Image, {**image, **name, "header": {}})
        measured = {
            "n_stars": 30 if is_good else 9,
            "fwhm_pix": 2.5,
            "elongation": 1.1,
            "sky_level": 300.0 + i,
            "sky_rms": 4.0,
            "transparency": 1.0 if is_good else 0.4,
            "airmass": 1.0 + 0.1 * i,
        }
        # Turned by 90° about the centre (50, 40), then moved by (3, -2).
        transform = {"a": 0.0, "b": -1.0, "c": 1.0, "d": 0.0, "tx": 93.0, "ty": -12.0}
        times = {"utc_mid": mid, "jd_utc_mid": jd, "bjd_tdb_mid": jd + JD_TO_BJD}
        key = {"run_id": 1, "image_id": i + 1}
        states = {"aligned_by": ALIGN, "is_aligned": True, "is_stacked": is_good}
        _add(connection, Frame, {**key, **states, **measured, **transform, **times})
        reason = "" if is_good else "transparency 0.40 is below 0.50"
        verdict = {"is_good": is_good, "reject_bits": 0 if is_good else 16, "reason": reason}
        _add(connection, FrameVerdict, {**key, **verdict})


def _add_photometry(connection: Connection) -> None:
    for aperture, radius in enumerate((3.0, 4.0)):
        _add(connection, Aperture, {"run_id": 1, "aperture": aperture, "radius_pix": radius})
        for source, level in ((1, 1000.0), (2, 9000.0), (3, 500.0)):
            for i, relative in enumerate(RELATIVE_FLUX):
                key = {"run_id": 1, "source_id": source, "image_id": i + 1, "aperture": aperture}
                scaled = relative if source == 1 else 1.0
                flux = {"flux": level * scaled, "flux_error": 10.0, "flags": 0}
                _add(connection, Flux, {**key, "radius_pix": radius, **flux})
                if source != 3:
                    ratio = {"relative_flux": scaled, "relative_flux_error": 0.01, "flags": 0}
                    _add(connection, RelativeFlux, {**key, **ratio})
    numbers = {"n_epochs": 5, "expected_scatter": 0.01, "von_neumann": 2.0}
    _add(
        connection,
        SourcePhotometry,
        *(
            {
                "run_id": 1,
                "source_id": source,
                "default_aperture": 1,
                "is_reference": source == 2,
                "mean_flux": mean,
                "scatter": scatter,
                **numbers,
            }
            for source, mean, scatter in ((1, 1000.0, 0.02), (2, 9000.0, 0.005))
        ),
    )
