"""From files to observations with published runs."""

import shutil

import pytest
from sqlalchemy import func, select

from tianyu.pipelines.errors import InvalidParametersError
from tianyu.pipelines.step import validate
from tianyu.publisher.placing import Placement
from tianyu.publisher.publishing import PublishOptions
from tianyu.publisher.recipes import LIGHT_CURVES
from tianyu.publisher.registering import RegisterRequest, TargetRequest, register
from tianyu.publisher.survey import InstrumentFacts
from tianyu.schema.errors import ConfigurationError, GraphError, NotFoundError
from tianyu.schema.tables import (
    Dependency,
    Image,
    Instrument,
    Observation,
    ObservationTarget,
    Process,
    Run,
    Sky,
    Target,
    metadata,
)
from tianyu.schema.transitions.audit import audit

N_STAGES = sum(stage.only_with is None for stage in LIGHT_CURVES.stages)
"""Of a night without options: each is one process or more."""


@pytest.fixture
def register_here(installation):
    """Return a function that registers paths at the installation."""

    def run(*paths, **options):
        request = RegisterRequest(paths, installation.site_id, installation.root, **options)
        return register(installation.database, request)

    return run


@pytest.fixture
def count_all(installation):
    """Return a function that counts the rows of every table."""

    def rows():
        with installation.database.read() as connection:
            return {
                table.name: connection.scalar(select(func.count()).select_from(table))
                for table in metadata.sorted_tables
            }

    return rows


@pytest.fixture(scope="module")
def few_frames(night_folder, tmp_path_factory):
    """Return one frame of every calibration and four light frames of the night."""
    folder = tmp_path_factory.mktemp("few")
    kinds = ("bias_001", "dark_001", "flat_r_001", *(f"light_r_000{i}" for i in (1, 2, 3, 4)))
    for name in kinds:
        shutil.copyfile(night_folder / f"{name}.fits", folder / f"{name}.fits")
    return folder


def read(installation, query):
    with installation.database.read() as connection:
        return connection.execute(query).all()


def expected_targets(installation):
    query = select(
        ObservationTarget.observation_id, Image.name, ObservationTarget.x, ObservationTarget.y
    ).outerjoin(Image, Image.id == ObservationTarget.image_id)
    return [tuple(row) for row in read(installation, query)]


def test_a_night_becomes_four_runs_that_hang_together(installation, register_here, night_folder):
    registration = register_here(night_folder)
    assert [(o.kind, o.n_frames, o.n_new) for o in registration.observations] == [
        ("bias", 5, 5), ("dark", 3, 3), ("flat", 5, 5), ("light", 12, 12)
    ]  # fmt: skip
    assert registration.rejected == ()
    assert registration.notes == ()
    assert all(o.run.is_new for o in registration.observations)
    light = registration.observations[-1].run
    assert [note.split(" of ")[0] for note in light.notes] == ["bias", "dark", "flat"]
    processes = read(installation, select(Process.__table__))
    assert len(processes) == 3 + N_STAGES
    for process in processes:
        validate(process.command, process.parameters)
    with installation.database.read() as connection:
        assert audit(connection) == []
    edges = [tuple(edge) for edge in read(installation, select(Dependency.__table__))]
    command = {process.id: process.command for process in processes}
    across = {(command[a], command[b]) for a, b in edges if command[a].startswith("master")}
    assert across == {
        ("master_bias", "master_dark"),
        ("master_bias", "master_flat"),
        ("master_dark", "master_flat"),
        *(
            (master, step)
            for master in ("master_bias", "master_dark", "master_flat")
            for step in (
                "choose_reference",
                "calibrate_align",
                "stack_frames",
                "fixed_pattern",
                "extract_flux",
                "relative_photometry",
            )
        ),
    }


def test_the_instrument_is_known_by_its_headers(installation, register_here, few_frames):
    register_here(few_frames)
    (camera,) = read(installation, select(Instrument.__table__))
    assert camera.name == "Simulated 0.5 m Simulated CCD"
    assert (camera.latitude_deg, camera.longitude_deg, camera.altitude_m) == (31.96, -111.6, 2096)
    assert (camera.gain_e_per_adu, camera.read_noise_e, camera.saturation_adu) == (1.5, 8.0, 60000)
    assert camera.pixel_scale_arcsec == pytest.approx(0.6)


def test_doing_it_again_changes_nothing(register_here, few_frames, count_all):
    first = register_here(few_frames, target=TargetRequest("T", 150.1, 25.2))
    rows = count_all()
    again = register_here(few_frames, target=TargetRequest("T", 150.1, 25.2))
    assert count_all() == rows
    assert [o.run.run_id for o in again.observations] == [
        o.run.run_id for o in first.observations
    ]  # fmt: skip
    assert [(o.n_new, o.run.is_new) for o in again.observations] == [(0, False)] * 4


def test_a_new_frame_is_a_new_run_beside_the_old_one(register_here, night_folder, tmp_path):
    names = sorted(path.name for path in night_folder.glob("light*.fits"))
    part = tmp_path / "part"
    part.mkdir()
    for name in names[:5]:
        shutil.copyfile(night_folder / name, part / name)
    (first,) = register_here(part).observations
    shutil.copyfile(night_folder / names[5], part / names[5])
    (second,) = register_here(part).observations
    assert second.observation_id == first.observation_id
    assert (second.n_frames, second.n_new, second.run.is_new) == (6, 1, True)
    assert second.run.run_id != first.run.run_id


def test_new_frames_alone_join_those_that_are_there(installation, register_here, night_folder):
    names = sorted(night_folder.glob("light*.fits"))
    register_here(*names[:5])
    (second,) = register_here(names[5]).observations
    (process,) = read(
        installation,
        select(Process.parameters).where(
            Process.run_id == second.run.run_id, Process.command == "choose_reference"
        ),
    )
    assert len(process.parameters["frames"]) == 6


def test_results_beside_the_frames_are_not_taken_for_frames(
    installation, register_here, few_frames, write_fits
):
    """The root may well be the folder of the frames itself."""
    for path in few_frames.glob("light*.fits"):
        shutil.copyfile(path, installation.root / path.name)
    first = register_here(installation.root)
    write_fits(installation.root / "runs" / "000001" / "stack_frames" / "template.fits")
    again = register_here(installation.root)
    assert len(again.observations) == len(first.observations) == 1
    assert (again.observations[0].n_new, again.rejected) == (0, ())


def test_bad_files_are_named_and_the_rest_is_registered(register_here, tmp_path, write_fits):
    good = write_fits(tmp_path / "n" / "good.fits")
    (tmp_path / "n" / "cut.fits").write_bytes(good.read_bytes()[:2900])
    shutil.copyfile(good, tmp_path / "n" / "zzz.fits")
    registration = register_here(tmp_path / "n", tmp_path / "gone")
    assert [o.n_frames for o in registration.observations] == [1]
    assert [r.path.name for r in registration.rejected] == ["gone", "cut.fits", "zzz.fits"]


def test_nothing_usable_is_an_error_that_says_why(register_here, tmp_path):
    with pytest.raises(ConfigurationError, match=r"no usable frame in .*: no FITS files there"):
        register_here(tmp_path / "root")
    (tmp_path / "cut.fits").write_bytes(b"SIMPLE")
    with pytest.raises(ConfigurationError, match=r"no usable frame in .*cut\.fits: cut\.fits"):
        register_here(tmp_path / "cut.fits")


def test_names_that_windows_refuses_are_changed_and_it_is_said(
    installation, register_here, tmp_path, write_fits
):
    write_fits(tmp_path / "n" / "M31_03:44.fits")
    registration = register_here(tmp_path / "n")
    assert any("'M31_03:44.fits' to 'M31_03_44.fits'" in note for note in registration.notes)
    assert read(installation, select(Image.name)) == [("M31_03_44.fits",)]


def test_what_headers_assume_is_passed_on_once(register_here, tmp_path, write_fits):
    for i in range(3):
        write_fits(tmp_path / "n" / f"{i}.fits", seed=i, GAIN=1200.0)
    notes = register_here(tmp_path / "n").notes
    assert [note for note in notes if "1200" in note] == [
        "3 frames, 0.fits first: GAIN = 1200 is no gain in e/ADU, rather a setting; ignored"
    ]


def test_a_person_knows_the_site_and_camera_better_than_the_headers(
    installation, register_here, few_frames
):
    register_here(few_frames, facts=InstrumentFacts(gain_e_per_adu=2.5, altitude_m=10.0))
    (camera,) = read(installation, select(Instrument.__table__))
    assert (camera.gain_e_per_adu, camera.altitude_m, camera.latitude_deg) == (2.5, 10.0, 31.96)


def test_moved_frames_are_gone_from_where_they_were(register_here, tmp_path, write_fits):
    path = write_fits(tmp_path / "n" / "a.fits")
    register_here(tmp_path / "n", placement=Placement.MOVE)
    assert not path.exists()


def test_registering_without_publishing(register_here, few_frames, count_all):
    registration = register_here(few_frames, publish=False)
    assert [o.run for o in registration.observations] == [None] * 4
    assert (count_all()["image"], count_all()["run"]) == (7, 0)


def test_progress_names_what_is_done(installation, night_folder):
    seen = {}
    request = RegisterRequest([night_folder], installation.site_id, installation.root)
    register(installation.database, request, lambda what, done, _: seen.update({what: done}))
    assert seen["reading headers"] == 25
    assert seen["registering TY-SIM-1, r, 2025-03-16, Simulated 0.5 m Simulated CCD, 256x256"] == 12


# -- targets ----------------------------------------------------------------------------------


def test_without_a_target_the_field_goes_by_its_header(installation, register_here, few_frames):
    register_here(few_frames)
    assert read(installation, select(Target.name, Target.kind)) == [("TY-SIM-1", "field")]
    assert read(installation, select(Sky.name, Sky.ra_deg)) == [("TY-SIM-1", 150.1)]
    assert expected_targets(installation) == []


def test_a_target_names_the_observation_and_is_expected_in_it(
    installation, register_here, few_frames
):
    (light,) = register_here(few_frames, target=TargetRequest("T", 150.0, 25.0)).observations[3:]
    assert light.name.startswith("T, r, 2025-03-16")
    assert expected_targets(installation) == [(light.observation_id, None, None, None)]
    (sky,) = read(installation, select(Sky.name, Sky.ra_deg))
    assert tuple(sky) == ("T", 150.0)
    (row,) = read(installation, select(Observation.target_id).where(Observation.kind == "light"))
    assert read(installation, select(Target.name).where(Target.id == row.target_id)) == [("T",)]


@pytest.mark.parametrize(
    "spelling", ["light_r_0004", "LIGHT_R_0004.FITS", "light_r_0004.fits.fz", "n/light_r_0004.fits"]
)
def test_a_target_pixel_is_kept_with_its_frame(installation, register_here, few_frames, spelling):
    target = TargetRequest("T", frame=spelling, x=100.5, y=20.0)
    register_here(few_frames, target=target)
    assert expected_targets(installation) == [(4, "light_r_0004.fits", 100.5, 20.0)]


def test_a_pixel_given_once_is_not_forgotten(installation, register_here, few_frames, count_all):
    register_here(few_frames, target=TargetRequest("T", frame="light_r_0004", x=9.0, y=8.0))
    runs = count_all()["run"]
    register_here(few_frames, target=TargetRequest("T"))
    assert expected_targets(installation) == [(4, "light_r_0004.fits", 9.0, 8.0)]
    assert count_all()["run"] == runs
    register_here(few_frames, target=TargetRequest("T", 150.0, 25.0))
    assert expected_targets(installation) == [(4, None, None, None)]


@pytest.mark.parametrize("frame", ["light_r_9999", "light_r", "bias_001"])
def test_a_pixel_in_a_frame_that_is_not_there_is_refused(
    register_here, few_frames, count_all, frame
):
    with pytest.raises(NotFoundError, match=f"frame '{frame}', which is not among the light"):
        register_here(few_frames, target=TargetRequest("T", frame=frame, x=1.0, y=1.0))
    assert count_all()["run"] == 0


def test_a_pixel_beside_its_frame_is_refused(register_here, few_frames):
    with pytest.raises(ConfigurationError, match="which has 256×256 pixels; count from 0"):
        register_here(few_frames, target=TargetRequest("T", frame="light_r_0001", x=256, y=0))


def test_a_frame_name_of_two_nights_is_asked_about(register_here, tmp_path, write_fits):
    for day in (17, 18):
        write_fits(tmp_path / "n" / str(day) / "0001.fits", DATE_OBS=f"2025-03-{day}T02:50:00")
    with pytest.raises(ConfigurationError, match="2 observations have a frame '0001'"):
        register_here(tmp_path / "n", target=TargetRequest("T", frame="0001", x=1.0, y=1.0))


def test_of_two_filters_the_pixel_is_noted_where_the_frame_is(
    installation, register_here, tmp_path, write_fits
):
    write_fits(tmp_path / "n" / "g.fits", FILTER="g")
    write_fits(tmp_path / "n" / "r.fits", FILTER="r")
    register_here(tmp_path / "n", target=TargetRequest("T", frame="r", x=1.0, y=2.0))
    assert sorted(expected_targets(installation)) == [
        (1, None, None, None),
        (2, "r.fits", 1.0, 2.0),
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"ra_deg": 1.0},
        {"ra_deg": 400.0, "dec_deg": 1.0},
        {"x": 1.0, "y": 1.0},
        {"frame": "a", "x": 1.0},
    ],
)
def test_half_a_target_is_refused_before_anything_is_read(values):
    with pytest.raises(ConfigurationError):
        TargetRequest("T", **values)


# -- options ----------------------------------------------------------------------------------


def test_options_go_to_the_runs_of_their_steps(installation, register_here, few_frames):
    options = PublishOptions(
        chunk_frames=2,
        steps={"master_flat": {"method": "mode"}, "detect_sources": {"threshold_sigma": 4.0}},
    )
    registration = register_here(few_frames, options=options)
    parameters = {
        row.command: row.parameters
        for row in read(installation, select(Process.command, Process.parameters))
    }
    assert parameters["master_flat"]["method"] == "mode"
    assert parameters["detect_sources"]["threshold_sigma"] == 4.0
    assert [o.run.n_processes for o in registration.observations] == [
        1,
        1,
        1,
        N_STAGES + 2,
    ]


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ({"dream": {}}, GraphError),
        ({"master_flat": {"metod": "mode"}}, GraphError),
    ],
)
def test_options_that_fit_nothing_are_refused_before_anything_is_read(
    register_here, few_frames, count_all, steps, error
):
    with pytest.raises(error):
        register_here(few_frames, options=PublishOptions(steps=steps))
    assert count_all()["image"] == 0


def test_a_bad_value_leaves_no_run_of_the_light_frames(installation, register_here, few_frames):
    steps = {"detect_sources": {"threshold_sigma": -1.0}}
    with pytest.raises(InvalidParametersError, match="threshold_sigma = -1"):
        register_here(few_frames, options=PublishOptions(steps=steps))
    assert read(installation, select(Run.recipe).where(Run.recipe == "light_curves")) == []


def test_calibration_of_another_size_is_not_used_and_it_is_said(
    register_here, few_frames, tmp_path, write_fits
):
    cards = {"INSTRUME": "Simulated CCD", "TELESCOP": "Simulated 0.5 m"}
    write_fits(tmp_path / "n" / "bias.fits", "BIAS", **cards)
    register_here(tmp_path / "n")
    (light,) = register_here(*few_frames.glob("light*")).observations
    assert light.run.notes[0].startswith("no bias fits: bias correction is skipped; not used: ")
    assert "of another size, 16×16 pixels" in light.run.notes[0]
    assert light.run.notes[1:] == (
        "no dark is registered: dark correction is skipped",
        "no flat is registered: flat correction is skipped",
    )
