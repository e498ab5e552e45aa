"""A night that is measured while its frames come, and closed: equal to a reduction of the whole."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, select
from typer.testing import CliRunner

from tianyu.cli.main import app
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.simulation import NightPlan, simulate_night
from tianyu.pipelines.step import find_step, validate
from tianyu.publisher.nightwatch import NightWatch
from tianyu.publisher.openobservation import OpenObservation
from tianyu.publisher.publishing import PublishOptions
from tianyu.publisher.registering import RegisterRequest, TargetRequest, register
from tianyu.publisher.settling import Settling
from tianyu.schema import migrate
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.directory import ensure_site
from tianyu.schema.tables import Queue
from tianyu.schema.transitions.claim import Claim, claim_next
from tianyu.schema.transitions.finish import Usage, succeed

N_LIGHT, N_SECOND, TEMPLATE = 8, 2, 5
TARGET = TargetRequest("star", 150.1, 25.2)
OPTIONS = PublishOptions(chunk_frames=3)

CURVES = (
    "SELECT l.x, l.y, i.name, l.radius_pix, l.flux, l.flux_error, l.relative_flux, "
    "l.relative_flux_error, l.flags, l.bjd_tdb_mid, l.frame_is_good, l.is_default_radius, "
    'l.is_reference, l.ra, l."dec" FROM light_curve AS l JOIN image AS i ON i.id = l.image_id '
    "ORDER BY l.x, l.y, i.name, l.radius_pix"
)
"""Without ids: they tell in which order frames came and sources were found."""


@dataclass
class LiveNight:
    """A watched folder, its database, and a watch that the test moves on by hand."""

    out: Path
    folder: Path

    def __post_init__(self) -> None:
        self.out.mkdir()
        self.folder.mkdir()
        self.database = Database(sqlite_url(self.out / "tianyu.sqlite"))
        migrate.upgrade(self.database)
        self.site_id = self.database.retry(lambda c: ensure_site(c, "local", self.out, 60.0))
        self.restart()

    def restart(self, observation: str | None = None) -> None:
        """Forget everything that is not in the database."""
        request = RegisterRequest(
            (), self.site_id, self.out, observation, target=TARGET, options=OPTIONS
        )
        self.watch = NightWatch(self.database, request, TEMPLATE)
        self.settling = Settling(settle_s=0.0, patience_s=0.0)

    @property
    def night(self) -> OpenObservation:
        (night,) = self.watch.open.values()
        return night

    def come(self, *files: Path) -> list[str]:
        """Let frames come and whatever follows be published; return the broken ones."""
        for file in files:
            if file.parent != self.folder:
                shutil.copy(file, self.folder)
        for file in sorted(self.folder.iterdir()):
            self.settling.see(file, is_renamed=True)
        whole, broken = self.settling.ready()
        rejected = self.watch.take(whole)
        self.watch.advance()
        return [bad.reason for bad in (*broken, *rejected)]

    def work(self) -> None:
        """Work off all that is published, and see what follows."""
        work_off(self.database, self.site_id, self.out)
        self.watch.advance()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.database.read() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]


def work_off(database: Database, site_id: int, root: Path) -> None:
    """Run every process that can run, here: what a consumer does, without starting one."""
    with database.read() as connection:
        queue_ids = list(connection.scalars(select(Queue.id)))
    while claim := database.retry(lambda c: claim_next(c, queue_ids, "worker", 600.0)):
        run_one(database, claim, site_id, root)


def run_one(database: Database, claim: Claim, site_id: int, root: Path) -> None:
    context = StepContext(
        database, claim.process_id, claim.run_id, claim.command, claim.attempt, site_id, root
    )
    parameters = validate(claim.command, claim.parameters)
    products = find_step(claim.command).run(parameters, context)

    def commit(connection: Connection) -> None:
        products.write(connection)
        succeed(connection, claim.process_id, claim.token, Usage())

    database.retry(commit)


def is_light(path: Path) -> bool:
    return path.name.startswith("light")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("night") / "frames"
    simulate_night(NightPlan.small(n_light=N_LIGHT + N_SECOND), folder)
    later = tmp_path_factory.mktemp("second night")
    for number in range(N_LIGHT, N_LIGHT + N_SECOND):
        shutil.move(folder / f"light_r_{number + 1:04}.fits", later)
    return sorted([*folder.glob("*.fits"), *later.glob("*.fits")])


@pytest.fixture(scope="module")
def batch(frames: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """The light curves of the whole night, reduced at once."""
    out = tmp_path_factory.mktemp("batch")
    database = Database(sqlite_url(out / "tianyu.sqlite"))
    migrate.upgrade(database)
    site_id = database.retry(lambda c: ensure_site(c, "local", out, 60.0))
    request = RegisterRequest((frames[0].parent,), site_id, out, target=TARGET, options=OPTIONS)
    register(database, request)
    work_off(database, site_id, out)
    with database.read() as connection:
        rows = [tuple(row) for row in connection.exec_driver_sql(CURVES)]
    database.dispose()
    assert len(rows) > 1000
    return rows


def test_a_night_is_measured_while_it_comes_and_closed_equals_the_whole_to_the_last_digit(
    frames: list[Path], batch: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    """One story, since each part of it needs those before."""
    live = LiveNight(tmp_path / "out", tmp_path / "incoming")
    try:
        _begin_with_a_template(live, frames)
        _frames_come_late_twice_and_broken(live, frames)
        _every_frame_is_in_the_light_curves(live)
        _provisional_points_agree_with_the_final_ones(live, batch)
        _closed_it_equals_the_reduction_of_the_whole_night(live, batch)
        _a_watch_that_begins_after_that_leaves_the_night_alone(live)
        _another_night_is_measured_from_its_first_frame_on(live, frames)
    finally:
        live.database.dispose()


def _begin_with_a_template(live: LiveNight, frames: list[Path]) -> None:
    lights = [path for path in frames if is_light(path)]
    live.come(*(path for path in frames if not is_light(path)), *lights[: TEMPLATE - 1])
    assert live.night.state == f"waiting for {TEMPLATE} frames"
    live.come(lights[TEMPLATE - 1])
    assert live.night.template_run is not None
    assert live.night.state.startswith("making a template")
    live.work()
    assert live.night.live_run is not None


def _frames_come_late_twice_and_broken(live: LiveNight, frames: list[Path]) -> None:
    """The eighth comes before the sixth, the seventh is last, and the watcher starts anew."""
    lights = [path for path in frames if is_light(path)][:N_LIGHT]
    (live.folder / "light_r_0099.fits").write_bytes(lights[0].read_bytes()[:20000])
    (reason,) = live.come(lights[7], lights[5])
    assert "truncated" in reason
    live.restart()
    live.come(lights[6])
    shutil.copy(lights[0], live.folder / "the_first_again.fits")
    live.come()
    assert live.night.live_run is not None
    live.work()
    before = live.rows("SELECT COUNT(*) FROM process")
    live.restart()
    live.come()
    assert live.rows("SELECT COUNT(*) FROM process") == before
    assert live.watch.n_taken == 0


def _every_frame_is_in_the_light_curves(live: LiveNight) -> None:
    live.watch.advance()
    assert live.night.n_measured == N_LIGHT
    ((run, n_frames),) = live.rows(
        "SELECT run_id, COUNT(DISTINCT image_id) FROM light_curve "
        "WHERE relative_flux IS NOT NULL GROUP BY run_id"
    )
    assert (run, n_frames) == (live.night.live_run, N_LIGHT)
    assert (run, "live") in live.rows("SELECT id, recipe FROM run")


def _provisional_points_agree_with_the_final_ones(
    live: LiveNight, batch: list[tuple[Any, ...]]
) -> None:
    """Within their errors, but for one factor per star: the medians are those of other frames.

    In the widest aperture, which depends least on the seeing of the frames that chose it. Stars
    are told by their places on the sky, within 3 arcseconds: the reference frame is another.
    """

    def by_key(rows: list[tuple[Any, ...]]) -> dict[tuple[int, int, str], tuple[float, float]]:
        return {
            (round(1200 * ra), round(1200 * dec), name): (relative, error)
            for _, _, name, _, _, _, relative, error, *_, good, _, _, ra, dec in rows
            if good and relative is not None and 0 < error < 0.01
        }

    provisional, final = by_key(live.rows(CURVES)), by_key(batch)
    common = sorted(provisional.keys() & final.keys())
    assert len(common) > 50
    stars = np.array([hash(key[:2]) for key in common])
    ratio = np.array([provisional[key][0] / final[key][0] for key in common])
    error = np.array([final[key][1] for key in common])
    for star in np.unique(stars):
        ratio[stars == star] /= np.median(ratio[stars == star])
    # The same photons, against references that five frames have chosen.
    assert np.median(np.abs(ratio - 1.0) / error) < 1.0


def _closed_it_equals_the_reduction_of_the_whole_night(
    live: LiveNight, batch: list[tuple[Any, ...]]
) -> None:
    assert not live.watch.is_closed()
    registration = live.watch.close()
    assert live.watch.is_closed()
    runs = [o.run.run_id for o in registration.observations if o.run is not None]
    assert live.night.live_run is not None
    assert runs[-1] > live.night.live_run
    live.work()
    assert live.rows("SELECT DISTINCT run_id FROM light_curve") == [(runs[-1],)]
    assert live.rows(CURVES) == batch


def _a_watch_that_begins_after_that_leaves_the_night_alone(live: LiveNight) -> None:
    """Also where none of its frames came while one watched."""
    with live.database.write() as connection:
        connection.exec_driver_sql("UPDATE run SET code_version = 'older' WHERE recipe = 'live'")
    runs = live.rows("SELECT COUNT(*) FROM run")
    live.restart()
    live.come()
    live.work()
    assert live.night.state.startswith("reduced before")
    assert live.watch.close().observations[-1].kind != "light"
    assert live.rows("SELECT COUNT(*) FROM run") == runs


def _another_night_is_measured_from_its_first_frame_on(live: LiveNight, frames: list[Path]) -> None:
    """At the template of the first night, which is closed by now."""
    for file in live.folder.iterdir():
        file.unlink()
    live.restart("the second night")
    live.come(*[path for path in frames if is_light(path)][N_LIGHT:])
    assert live.night.template_run is None
    assert live.night.live_run is not None
    live.work()
    assert live.night.n_measured == N_SECOND
    points = live.rows(
        "SELECT l.relative_flux FROM light_curve AS l JOIN observation AS o "
        "ON o.id = l.observation_id WHERE o.name = 'the second night' "
        "AND l.is_default_radius = 1 AND l.is_reference = 1"
    )
    assert len(points) >= 8
    # On the scale of the first night: a reference star is what it was.
    assert np.median([relative for (relative,) in points]) == pytest.approx(1.0, abs=0.01)
    closing = live.watch.close().observations[-1].run
    assert closing is not None
    assert closing.recipe == "light_curves_one_pass"


def test_the_command_takes_what_is_there_names_what_is_not_and_closes_when_it_is_quiet(
    frames: list[Path], tmp_path: Path
) -> None:
    live = LiveNight(tmp_path / "out", tmp_path / "incoming")
    lights = [path for path in frames if is_light(path)]
    for path in lights[:3]:
        shutil.copy(path, live.folder)
    (live.folder / "bias.fits").write_bytes(frames[0].read_bytes())
    (live.folder / "copy.fits").write_bytes(lights[0].read_bytes())
    # Consumers run elsewhere: nothing but publishing is to be done here.
    options = ["--database", live.database.text_url, "--site", "local", "--json"]
    command = ["watch", str(live.folder), *options, "--close-after", "0.5s"]
    for n_taken in (4, 0):
        answer = CliRunner().invoke(app, command)
        assert answer.exit_code == 0, answer.output
        told = json.loads(answer.stdout)
        assert (told["ending"], told["n_taken"], told["is_closed"]) == ("quiet", n_taken, True)
        assert [Path(r["file"]).name for r in told["rejected"]] == ["light_r_0001.fits"]
        assert "same content" in told["rejected"][0]["reason"]
    (observation,) = told["observations"]
    assert observation["live_run"] is None
    assert live.rows("SELECT id, recipe FROM run") == [
        (1, "master_bias"), (observation["final_run"], "light_curves")
    ]  # fmt: skip
    listed = CliRunner().invoke(app, ["observation", "list", *options[:2], "--json"])
    rows = json.loads(listed.stdout)["observations"]
    assert [(row["kind"], row["n_frames"]) for row in rows] == [("bias", 1), ("light", 3)]
    closed = CliRunner().invoke(app, ["observation", "close", "2", *options])
    assert json.loads(closed.stdout)["run"] == observation["final_run"]
    live.database.dispose()
