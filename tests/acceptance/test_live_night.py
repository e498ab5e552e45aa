"""A night that is measured while its frames come, and closed: equal to a reduction of the whole."""

import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from tianyu.cli.main import app
from tianyu.cli.nightrun import work_off
from tianyu.pipelines.simulation import NightPlan, simulate_night
from tianyu.publisher.nightwatch import NightWatch, OpenObservation
from tianyu.publisher.publishing import PublishOptions
from tianyu.publisher.registering import RegisterRequest, TargetRequest
from tianyu.publisher.settling import Settling
from tianyu.schema import migrate
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.directory import ensure_site
from tianyu.schema.settings import load_settings

N_LIGHT, TEMPLATE = 9, 4
TARGET = TargetRequest("star", 150.1, 25.2)
OPTIONS = PublishOptions(chunk_frames=3)

CURVES = (
    "SELECT l.x, l.y, i.name, l.radius_pix, l.flux, l.flux_error, l.relative_flux, "
    "l.relative_flux_error, l.flags, l.bjd_tdb_mid, l.frame_is_good, l.is_default_radius, "
    "l.is_reference FROM light_curve AS l JOIN image AS i ON i.id = l.image_id "
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

    def restart(self) -> None:
        """Forget everything that is not in the database."""
        request = RegisterRequest((), self.site_id, self.out, target=TARGET, options=OPTIONS)
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

    def work(self, *runs: int) -> None:
        console = Console(file=io.StringIO())
        settings = load_settings()
        assert work_off(
            self.database, runs, settings=settings, site="local", workers=1, console=console
        )
        self.watch.advance()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.database.read() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]


def is_light(path: Path) -> bool:
    return path.name.startswith("light")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("night") / "frames"
    simulate_night(NightPlan.small(n_light=N_LIGHT), folder)
    return sorted(folder.glob("*.fits"))


@pytest.fixture(scope="module")
def batch(frames: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """The light curves of the whole night, reduced at once."""
    out = tmp_path_factory.mktemp("batch") / "out"
    place = ["--target", "star", "--ra", "150.1", "--dec", "25.2"]
    options = ["--out", str(out), "--chunk", "3", "--workers", "1", *place]
    answer = CliRunner().invoke(app, ["reduce", str(frames[0].parent), *options])
    assert answer.exit_code == 0, answer.output
    database = Database(sqlite_url(out / "tianyu.sqlite"))
    with database.read() as connection:
        rows = [tuple(row) for row in connection.exec_driver_sql(CURVES)]
    database.dispose()
    return rows


@pytest.fixture(scope="module")
def live(frames: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveNight]:
    """A night with template and live frames, one of them late, one broken, not closed yet."""
    base = tmp_path_factory.mktemp("live")
    night = LiveNight(base / "out", base / "incoming")
    lights = [path for path in frames if is_light(path)]
    night.come(*(path for path in frames if not is_light(path)), *lights[:TEMPLATE])
    template_run = night.night.template_run
    assert template_run is not None
    assert night.night.state.startswith("making a template")
    night.work(template_run)
    assert night.night.live_run is not None
    # The seventh before the fifth, the sixth is late; a file is cut off in the middle.
    cut = night.folder / "light_r_0099.fits"
    cut.write_bytes(lights[0].read_bytes()[:20000])
    reasons = night.come(lights[6], lights[4])
    assert len(reasons) == 1
    assert "truncated" in reasons[0]
    night.restart()
    night.come(*lights[7:], lights[5])
    night.work(night.night.live_run)
    yield night
    night.database.dispose()


def test_every_frame_is_in_the_light_curves_before_the_night_is_closed(live: LiveNight) -> None:
    assert live.night.n_measured == N_LIGHT
    ((run, n_frames),) = live.rows(
        "SELECT run_id, COUNT(DISTINCT image_id) FROM light_curve "
        "WHERE relative_flux IS NOT NULL GROUP BY run_id"
    )
    assert (run, n_frames) == (live.night.live_run, N_LIGHT)
    assert (run, "live") in live.rows("SELECT id, recipe FROM run")


def test_what_comes_twice_is_measured_once(live: LiveNight) -> None:
    before = live.rows("SELECT COUNT(*) FROM process")
    live.restart()
    live.come()
    assert live.rows("SELECT COUNT(*) FROM process") == before
    assert live.watch.n_taken == 0
    assert live.night.live_run is not None


def test_provisional_points_agree_with_the_final_ones(
    live: LiveNight, batch: list[tuple[Any, ...]]
) -> None:
    """Within their errors, but for one factor per star: the medians are those of other frames."""
    points = live.rows(CURVES)

    def by_key(rows: list[tuple[Any, ...]]) -> dict[tuple[int, int, str], tuple[float, float]]:
        return {
            (round(x), round(y), name): (relative, error)
            for x, y, name, _, _, _, relative, error, *_, good, default, _ in rows
            if good and default and relative is not None and 0 < error < 0.01
        }

    provisional, final = by_key(points), by_key(batch)
    common = sorted(provisional.keys() & final.keys())
    assert len(common) > 50
    stars = np.array([hash(key[:2]) for key in common])
    ratio = np.array([provisional[key][0] / final[key][0] for key in common])
    error = np.array([final[key][1] for key in common])
    for star in np.unique(stars):
        ratio[stars == star] /= np.median(ratio[stars == star])
    # The same photons, through apertures and against references that four frames have chosen.
    assert np.median(np.abs(ratio - 1.0) / error) < 1.0


def test_closed_it_equals_the_reduction_of_the_whole_night_to_the_last_digit(
    live: LiveNight, batch: list[tuple[Any, ...]]
) -> None:
    registration = live.watch.close()
    runs = [o.run.run_id for o in registration.observations if o.run is not None]
    assert runs[-1] > live.night.live_run
    live.work(*runs)
    assert live.rows("SELECT DISTINCT run_id FROM light_curve") == [(runs[-1],)]
    assert live.rows(CURVES) == batch


def test_closed_by_somebody_else_the_watch_is_over(live: LiveNight) -> None:
    assert live.watch.is_closed()
