"""Which masters are taken for frames, and what is said of those that are not."""

from datetime import datetime

import pytest
from sqlalchemy import select

from tianyu.publisher.masters import FrameProperties, julian_date, match_masters
from tianyu.schema.directory import ensure_queue, ensure_site
from tianyu.schema.states import State
from tianyu.schema.tables import Observation, OpticalFilter, Process

EVENING = "2025-03-17T02:50:00"


@pytest.fixture
def pid_of(installation):
    """Return a function that gives the process of a registered master."""

    def find(master):
        with installation.database.read() as connection:
            query = select(Process.id).where(Process.run_id == master.run.run_id)
            return connection.scalar(query)

    return find


@pytest.fixture
def match(installation):
    """Return a function that looks for masters of frames of the camera of the first master."""

    def look(*wanted, utc=EVENING, filter_name=None, site_id=installation.site_id, **changed):
        with installation.database.read() as connection:
            query = select(OpticalFilter.id).where(OpticalFilter.name == filter_name)
            properties = {
                "instrument_id": connection.scalar(select(Observation.instrument_id)) or 1,
                "site_id": site_id,
                "filter_id": connection.scalar(query) if filter_name else None,
                "width": 16,
                "height": 16,
                "binning": 1,
                "exposure_s": 60.0,
                "jd": None if utc is None else julian_date(datetime.fromisoformat(utc)),
                **changed,
            }
            return match_masters(connection, FrameProperties(**properties), wanted=wanted)

    return look


def test_a_julian_date_begins_at_noon():
    assert julian_date(datetime(2017, 12, 20, 0, 0)) == 2458107.5


def test_without_any_masters_every_correction_is_skipped_in_words(match):
    found = match("bias", "dark", "flat")
    assert (found.bias, found.dark, found.flat) == (None, None, None)
    assert found.notes == (
        "no bias is registered: bias correction is skipped",
        "no dark is registered: dark correction is skipped",
        "no flat is registered: flat correction is skipped",
    )


def test_only_what_is_wanted_is_looked_for(make_master, match, pid_of):
    bias = make_master("BIAS")
    assert match("bias").bias == pid_of(bias)
    assert match() == match(*())
    assert match().bias is None


@pytest.mark.parametrize(
    ("utc", "nearest"), [("2025-03-11T02:00:00", 0), ("2025-03-14T02:00:00", 1), (EVENING, 1)]
)
def test_the_nearest_in_time_wins_before_or_after(make_master, match, pid_of, utc, nearest):
    masters = [make_master("BIAS", DATE_OBS=f"2025-03-{day}T02:00:00") for day in (10, 15)]
    found = match("bias", utc=utc)
    assert found.bias == pid_of(masters[nearest])
    assert found.notes == (f"bias of observation {masters[nearest].name!r}",)


def test_without_a_time_the_newest_run_wins(make_master, match, pid_of):
    make_master("BIAS", DATE_OBS="2025-03-10T02:00:00")
    newest = make_master("BIAS", DATE_OBS="2025-03-09T02:00:00")
    assert match("bias", utc=None).bias == pid_of(newest)


def test_the_dark_of_the_nearest_exposure_wins_over_the_nearest_night(make_master, match, pid_of):
    old = make_master("DARK", EXPTIME=50.0, DATE_OBS="2025-01-01T02:00:00")
    make_master("DARK", EXPTIME=30.0, DATE_OBS=EVENING)
    found = match("dark")
    assert found.dark == pid_of(old)
    assert found.notes == (f"dark of observation {old.name!r}, of 50 s for frames of 60 s",)


def test_darks_of_practically_one_exposure_are_told_apart_by_the_night(make_master, match, pid_of):
    make_master("DARK", EXPTIME=60.0, DATE_OBS="2025-01-01T02:00:00")
    near = make_master("DARK", EXPTIME=60.01, DATE_OBS=EVENING)
    assert match("dark").dark == pid_of(near)


def test_frames_without_an_exposure_take_the_nearest_dark_in_time(make_master, match, pid_of):
    near = make_master("DARK", EXPTIME=30.0, DATE_OBS=EVENING)
    make_master("DARK", EXPTIME=1.0, DATE_OBS="2025-01-01T02:00:00")
    assert match("dark", exposure_s=None).dark == pid_of(near)


def test_a_flat_is_for_its_filter(make_master, match, pid_of):
    make_master("FLAT", FILTER="g")
    red = make_master("FLAT", FILTER="r")
    clear = make_master("FLAT", FILTER=None)
    assert match("flat", filter_name="r").flat == pid_of(red)
    assert match("flat", filter_name=None).flat == pid_of(clear)


@pytest.mark.parametrize(
    ("kind", "cards", "frames", "reason"),
    [
        ("bias", {}, {"width": 32}, "of another size, 16×16 pixels"),
        ("bias", {"XBINNING": 2, "YBINNING": 2}, {}, "of another binning, 2"),
        ("bias", {}, {"instrument_id": 99}, "of another instrument, Tel Cam"),
        ("flat", {"FILTER": "g"}, {}, "in another filter, g"),
        ("flat", {"FILTER": None}, {"filter_id": 99}, "in another filter, none"),
        ("dark", {}, {"site_id": 99}, "made at another site"),
    ],
)
def test_what_does_not_fit_is_not_used_and_named(make_master, match, kind, cards, frames, reason):
    master = make_master(kind.upper(), **cards)
    found = match(kind, **frames)
    assert getattr(found, kind) is None
    assert found.notes == (
        f"no {kind} fits: {kind} correction is skipped; not used: {master.name!r} ({reason})",
    )


def test_the_nearest_of_many_misfits_are_named(make_master, match):
    for day in range(10, 15):
        make_master("BIAS", XBINNING=2, DATE_OBS=f"2025-03-{day}T02:00:00")
    (note,) = match("bias").notes
    assert note.count("another binning") == 3
    assert note.endswith("and 2 more")
    assert "2025-03-13" in note
    assert "2025-03-10" not in note


def test_masters_may_still_be_in_the_making(make_master, match, pid_of, end_process):
    master = make_master("BIAS")
    assert match("bias").bias == pid_of(master)
    end_process(pid_of(master), State.SUCCEEDED)
    assert match("bias").bias == pid_of(master)


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
def test_masters_without_hope_are_passed_over(make_master, match, pid_of, end_process, state):
    older = make_master("BIAS", DATE_OBS="2025-01-01T02:00:00")
    master = make_master("BIAS")
    end_process(pid_of(master), state)
    assert match("bias").bias == pid_of(older)
    end_process(pid_of(older), state)
    found = match("bias")
    assert found.bias is None
    assert f"its process {pid_of(master)} is {state.value}" in found.notes[0]


def test_a_master_of_another_site_is_no_use_here(installation, make_master, match, tmp_path):
    make_master("BIAS")

    def make_far_site(connection):
        site_id = ensure_site(connection, "far", tmp_path, 60.0)
        ensure_queue(connection, site_id, "cpu")
        return site_id

    far = installation.database.retry(make_far_site)
    assert match("bias", site_id=far).bias is None
