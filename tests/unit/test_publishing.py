"""Publishing the reduction of an observation: one run, one transaction, at most once."""

import itertools

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from tianyu.pipelines.errors import InvalidParametersError
from tianyu.pipelines.step import validate
from tianyu.publisher import collisions, publishing, surroundings
from tianyu.publisher.collisions import retry_collisions
from tianyu.publisher.publishing import PublishOptions, publish, publish_again
from tianyu.publisher.recipes import LIGHT_CURVES
from tianyu.publisher.registering import RegisterRequest, TargetRequest, register
from tianyu.publisher.survey import InstrumentFacts
from tianyu.publisher.verdicts import Saying, Word, record
from tianyu.schema.directory import ensure_site
from tianyu.schema.errors import GraphError, NotFoundError
from tianyu.schema.states import State
from tianyu.schema.tables import (
    Dependency,
    HardwareGroup,
    Image,
    Process,
    Queue,
    Reduction,
    Run,
    Sky,
)
from tianyu.schema.transitions.audit import audit


@pytest.fixture
def observe(installation, write_fits, tmp_path):
    """Return a function that registers light frames, unpublished, and gives the observation."""
    count = itertools.count()

    def make(n_frames=3, target=None, facts=None, **cards):
        folder = tmp_path / f"lights_{next(count)}"
        for i in range(n_frames):
            date = f"2025-03-17T02:{50 + i}:00"
            write_fits(folder / f"{i}.fits", seed=100 + i, DATE_OBS=date, **cards)
        request = RegisterRequest(
            [folder],
            installation.site_id,
            installation.root,
            target=target,
            facts=facts or InstrumentFacts(),
            publish=False,
        )
        return register(installation.database, request).observations[0].observation_id

    return make


@pytest.fixture
def publish_here(installation):
    """Return a function that publishes an observation at the installation's site."""

    def run(observation_id, **options):
        return publish(
            installation.database, observation_id, installation.site_id, PublishOptions(**options)
        )

    return run


@pytest.fixture
def count(installation):
    """Return a function that counts rows of tables."""

    def rows(*tables):
        with installation.database.read() as connection:
            return [connection.scalar(select(func.count()).select_from(t)) for t in tables]

    return rows


def processes_of(installation, run_id):
    query = select(Process.__table__).where(Process.run_id == run_id).order_by(Process.id)
    with installation.database.read() as connection:
        return connection.execute(query).all()


def parents_of(installation, process_id):
    query = select(Dependency.parent).where(Dependency.child == process_id)
    with installation.database.read() as connection:
        return set(connection.scalars(query))


def parameter(installation, run_id, command, name):
    processes = [p for p in processes_of(installation, run_id) if p.command == command]
    return processes[0].parameters[name]


def test_a_run_is_published_whole(installation, observe, publish_here):
    run = publish_here(observe(), chunk_frames=2)
    # Two of the stages become two processes each.
    n_processes = sum(stage.only_with is None for stage in LIGHT_CURVES.stages) + 2
    assert (run.recipe, run.n_processes, run.is_new) == ("light_curves", n_processes, True)
    processes = processes_of(installation, run.run_id)
    assert len(processes) == n_processes
    for process in processes:
        assert process.pending == len(parents_of(installation, process.id))
        assert process.state == ("waiting" if process.pending else "ready")
        checked = validate(process.command, process.parameters)
        assert checked.model_dump(mode="json") == process.parameters
    with installation.database.read() as connection:
        assert audit(connection) == []


def test_the_same_thing_is_published_once(observe, publish_here, count):
    observation_id = observe()
    first = publish_here(observation_id)
    rows = count(Run, Process, Dependency, Reduction)
    again = publish_here(observation_id, priority=1)
    assert (again.run_id, again.is_new, again.n_processes) == (
        first.run_id, False, first.n_processes
    )  # fmt: skip
    assert count(Run, Process, Dependency, Reduction) == rows


@pytest.mark.parametrize(
    "options",
    [{"chunk_frames": 2}, {"fan_out": 2}, {"steps": {"detect_sources": {"threshold_sigma": 4.0}}}],
)
def test_other_options_are_another_run(observe, publish_here, options):
    observation_id = observe()
    first = publish_here(observation_id)
    other = publish_here(observation_id, **options)
    assert other.is_new
    assert other.run_id != first.run_id


@pytest.mark.parametrize(
    "broken",
    ["insert_run", "insert_graph", "build_graph", "plan_reduction", "find_run", "ensure_queue"],
)
def test_an_error_anywhere_leaves_nothing(observe, publish_here, count, monkeypatch, broken):
    observation_id = observe()
    rows = count(Run, Process, Dependency, Reduction, Queue)
    real = getattr(publishing, broken)

    def work_and_die(*arguments, **options):
        real(*arguments, **options)
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(publishing, broken, work_and_die)
        with pytest.raises(RuntimeError, match="power cut"):
            publish_here(observation_id)
    assert count(Run, Process, Dependency, Reduction, Queue) == rows
    assert publish_here(observation_id).is_new


def test_ids_that_are_taken_are_drawn_anew(installation, observe, publish_here, monkeypatch):
    observation_id = observe()
    first = publish_here(observation_id)
    taken = processes_of(installation, first.run_id)[0].id
    draw, calls = publishing.PIDS.draw, []

    class Unlucky:
        """Draws an id of another run, once."""

        def draw(self, n):
            calls.append(n)
            return draw(n) if len(calls) > 1 else [taken, *draw(n - 1)]

    monkeypatch.setattr(publishing, "PIDS", Unlucky())
    assert publish_here(observation_id, chunk_frames=1).is_new
    assert len(calls) == 2


def test_a_collision_that_repeats_is_told_in_words(observe, publish_here, monkeypatch):
    observation_id = observe()
    publish_here(observation_id)

    class Stuck:
        """Draws the same ids each time."""

        def draw(self, n):
            return list(range(1, n + 1))

    monkeypatch.setattr(publishing, "PIDS", Stuck())
    publish_here(observation_id, fan_out=2)
    with pytest.raises(GraphError, match=r"could not be published: .*; publish it again"):
        publish_here(observation_id, fan_out=3)


def test_a_collision_is_tried_again_and_then_given_up(installation):
    calls = []

    def collide(connection):
        calls.append(1)
        connection.execute(insert(Sky).values(name="twice"))
        if len(calls) == 2:
            return "done"
        return connection.execute(insert(Sky).values(name="twice"))

    assert retry_collisions(installation.database, collide) == "done"
    calls.clear()
    with pytest.raises(IntegrityError):
        retry_collisions(installation.database, collide)
    assert len(calls) == collisions.TRIES


def test_masters_become_parents_of_what_uses_them(installation, observe, publish_here, make_master):
    masters = [make_master("BIAS"), make_master("DARK"), make_master("FLAT")]
    pids = {processes_of(installation, m.run.run_id)[0].id for m in masters}
    run = publish_here(observe())
    assert len(run.notes) == 3
    for process in processes_of(installation, run.run_id):
        parents = parents_of(installation, process.id)
        assert (pids <= parents) is ("calibration" in process.parameters)
        assert process.pending == len(parents)
    with installation.database.read() as connection:
        notes = connection.scalar(select(Reduction.notes).where(Reduction.run_id == run.run_id))
        assert notes == {"masters": list(run.notes)}
        assert audit(connection) == []


def test_a_master_that_is_there_already_is_not_waited_for(
    installation, observe, publish_here, make_master, end_process
):
    (master,) = processes_of(installation, make_master("BIAS").run.run_id)
    end_process(master.id, State.SUCCEEDED)
    run = publish_here(observe())
    first = processes_of(installation, run.run_id)[0]
    assert parents_of(installation, first.id) == {master.id}
    assert (first.pending, first.state) == (0, "ready")
    with installation.database.read() as connection:
        assert audit(connection) == []


def test_a_master_that_failed_is_not_used_and_the_run_is_not_blocked(
    installation, observe, publish_here, make_master, end_process
):
    (master,) = processes_of(installation, make_master("BIAS").run.run_id)
    end_process(master.id, State.FAILED)
    run = publish_here(observe())
    assert "is failed" in run.notes[0]
    first = processes_of(installation, run.run_id)[0]
    assert parents_of(installation, first.id) == set()
    assert first.state == "ready"


def test_a_failed_master_that_is_asked_for_is_waited_for(
    installation, observe, publish_here, make_master, end_process
):
    (master,) = processes_of(installation, make_master("BIAS").run.run_id)
    end_process(master.id, State.FAILED)
    calibration = {"bias": str(master.id), "dark": None, "flat": None}
    run = publish_here(observe(), steps={"choose_reference": {"calibration": calibration}})
    first = processes_of(installation, run.run_id)[0]
    assert parents_of(installation, first.id) == {master.id}
    assert first.state == "waiting"
    with installation.database.read() as connection:
        assert audit(connection) == []


def test_a_master_that_does_not_exist_is_refused(observe, publish_here, count):
    calibration = {"bias": "7", "dark": None, "flat": None}
    with pytest.raises(GraphError, match="parent process 7 does not exist"):
        publish_here(observe(), steps={"choose_reference": {"calibration": calibration}})
    assert count(Run, Process) == [0, 0]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"recipe": "dream"}, NotFoundError, "no recipe 'dream'; known recipes: master_bias"),
        ({"recipe": "master_flat"}, GraphError, "recipe master_flat is for flat frames, but"),
        ({"steps": {"dream": {}}}, GraphError, "no step 'dream'; its steps: calibrate_align"),
        (
            {"steps": {"detect_sources": {"sigma": 1}}},
            GraphError,
            "step detect_sources has no parameter 'sigma'; it has",
        ),
        (
            {"steps": {"detect_sources": {"threshold_sigma": -1}}},
            InvalidParametersError,
            "threshold_sigma = -1: Input should be greater than 0",
        ),
        ({"chunk_frames": 0}, GraphError, "chunk size 0 is impossible; give 1 or more"),
        ({"fan_out": 1}, GraphError, "fan-out 1 makes no tree; give 2 or more"),
        ({"steps": {"detect_sources": {"threshold_sigma": 1j}}}, GraphError, "JSON"),
    ],
)
def test_what_cannot_be_published_is_refused_and_nothing_is_left(
    observe, publish_here, count, options, error, text
):
    observation_id = observe()
    with pytest.raises(error, match=text):
        publish_here(observation_id, **options)
    assert count(Run, Process, Dependency, Reduction) == [0, 0, 0, 0]


@pytest.mark.parametrize("priority", [-1001, 1001, 40_000])
def test_a_priority_beyond_its_column_is_refused(priority):
    with pytest.raises(GraphError, match=r"give -1000 \(first\) to 1000 \(last\)"):
        PublishOptions(priority=priority)


def test_an_unknown_observation_or_site_is_refused(installation, observe):
    with pytest.raises(NotFoundError, match="no observation 99; register one first"):
        publish(installation.database, 99, installation.site_id)
    with pytest.raises(NotFoundError, match="no site 99; make it first"):
        publish(installation.database, observe(), 99)


def test_frames_without_a_copy_at_the_site_are_refused(installation, observe, tmp_path):
    observation_id = observe()
    far = installation.database.retry(lambda c: ensure_site(c, "far", tmp_path, 60.0))
    text = r"3 of 3 frames .*, 0\.fits first, have no copy at site 2; register them there"
    with pytest.raises(GraphError, match=text):
        publish(installation.database, observation_id, far)


def test_an_instrument_may_name_another_recipe_for_its_light_frames(
    installation, observe, publish_here
):
    observation_id = observe()
    with installation.database.write() as connection:
        connection.exec_driver_sql("UPDATE instrument SET default_recipe = 'dream'")
    with pytest.raises(NotFoundError, match="no recipe 'dream'"):
        publish_here(observation_id)


@pytest.mark.parametrize(("gain", "unit"), [(None, "adu"), (1.5, "electron")])
def test_fluxes_are_in_electrons_where_the_gain_is_known(
    installation, observe, publish_here, gain, unit
):
    run = publish_here(observe(facts=InstrumentFacts(gain_e_per_adu=gain)))
    with installation.database.read() as connection:
        assert connection.scalar(select(Reduction.flux_unit)) == unit
    assert parameter(installation, run.run_id, "extract_flux", "gain_e_per_adu") == gain


def test_steps_are_told_where_the_telescope_stands_and_looks(installation, observe, publish_here):
    facts = InstrumentFacts(latitude_deg=31.7, longitude_deg=-110.9, altitude_m=2000.0)
    target = TargetRequest("T", 31.04, 46.69, "1", 3.0, 4.0)
    run = publish_here(observe(facts=facts, target=target, RA=40.0, DEC=50.0))
    told = [
        parameter(installation, run.run_id, "calibrate_align", name) for name in ("place", "field")
    ]
    assert told == [
        {"latitude_deg": 31.7, "longitude_deg": -110.9, "altitude_m": 2000.0},
        {"ra_deg": 31.04, "dec_deg": 46.69},
    ]
    with installation.database.read() as connection:
        image_id = connection.scalar(select(Image.id).where(Image.name == "1.fits"))
    place = {"image_id": image_id, "x": 3.0, "y": 4.0, "ra_deg": 31.04, "dec_deg": 46.69}
    targets = parameter(installation, run.run_id, "detect_sources", "targets")
    assert targets == [{"target_id": 1, "name": None, "is_forced": False, **place}]


def test_without_a_target_the_telescope_looks_where_the_headers_say(
    installation, observe, publish_here
):
    run = publish_here(observe(RA=40.0, DEC=50.0, OBJECT="M31"))
    field = parameter(installation, run.run_id, "detect_sources", "field")
    assert field == {"ra_deg": 40.0, "dec_deg": 50.0}
    assert parameter(installation, run.run_id, "detect_sources", "targets") == []


def test_without_any_coordinates_nothing_is_made_up(installation, observe, publish_here):
    run = publish_here(observe())
    field = parameter(installation, run.run_id, "detect_sources", "field")
    assert field == {"ra_deg": None, "dec_deg": None}


class _Frame:
    def __init__(self, ra, dec):
        self.header = {"ra_deg": ra, "dec_deg": dec}


class _Observation:
    target_id = sky_id = None


def test_pointings_on_both_sides_of_the_first_meridian_do_not_average_to_the_other_side():
    frames = [_Frame(359.9, 10.0), _Frame(0.1, 10.2), _Frame(0.3, 10.4)]
    centre = surroundings._field_centre(None, _Observation, frames)
    assert centre["ra_deg"] == pytest.approx(0.1)
    assert centre["dec_deg"] == 10.2


def groups_of(installation, run_id):
    """Return the groups that run each step of a run."""
    query = (
        select(Process.command, HardwareGroup.name)
        .join(Queue, Queue.id == Process.queue_id)
        .join(HardwareGroup, HardwareGroup.id == Queue.group_id)
        .where(Process.run_id == run_id)
        .distinct()
    )
    with installation.database.read() as connection:
        return {row.command: row.name for row in connection.execute(query)}


def test_a_run_for_consumers_with_a_gpu_is_the_same_run_and_stays_with_them(
    installation, observe, publish_here
):
    observation_id = observe()
    run = publish_here(observation_id, with_gpu=True)
    groups = groups_of(installation, run.run_id)
    with_gpu = {command for command, group in groups.items() if group == "gpu"}
    assert with_gpu == {"calibrate_align", "extract_flux"}
    assert set(groups.values()) == {"cpu", "gpu"}
    assert publish_here(observation_id).run_id == run.run_id
    said = Saying(Word.REJECT, ("1.fits",))
    installation.database.retry(lambda c: record(c, observation_id, [said], "tester"))
    again = publish_again(installation.database, run.run_id)
    assert again.run_id != run.run_id
    assert groups_of(installation, again.run_id)["extract_flux"] == "gpu"
