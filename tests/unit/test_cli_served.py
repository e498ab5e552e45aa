"""Setting up an installation: ``tianyu init``, sites, targets, instruments, frames."""

from pathlib import Path

import pytest
from tests.unit.cli_fixtures import answer, invoke

from tianyu.schema.database import sqlite_url

AWAY = "mysql+pymysql://tianyu:secret@127.0.0.1:1/tianyu"


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database that has been initialised, for the site ``local``."""
    url = sqlite_url(tmp_path / "tianyu.sqlite")
    invoke(url, "init", "--root", str(tmp_path / "root"))
    return url


def sites(url: str) -> dict[str, dict[str, object]]:
    return {site["name"]: site for site in answer(url, "site", "list")["sites"]}


# -- init --------------------------------------------------------------------------------------


def test_init_makes_the_database_the_site_and_its_queues(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "new folder" / "tianyu.sqlite")
    options = ["--site", "dome", "--root", str(tmp_path), "--group", "cpu", "--group", "camera"]
    said = invoke(url, "init", *options)
    assert f"site dome: root {tmp_path}" in said
    assert "queue of group cpu: 0 waiting" in said
    assert "queue of group camera: 0 waiting" in said
    assert sites(url) == {
        "dome": {
            "name": "dome", "root": str(tmp_path), "groups": ["camera", "cpu"], "lease_s": 60.0,
            "address": None,
        }
    }  # fmt: skip


def test_init_again_from_another_folder_does_not_move_the_site(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sites(url)
    monkeypatch.chdir("/")
    assert f"root {tmp_path / 'root'}" in invoke(url, "init")
    assert sites(url) == before
    invoke(url, "init", "--root", str(tmp_path / "other"))
    assert sites(url)["local"]["root"] == str(tmp_path / "other")


def test_init_without_a_root_takes_the_working_folder_for_a_new_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = sqlite_url(tmp_path / "tianyu.sqlite")
    invoke(url, "init")
    assert sites(url)["local"]["root"] == str(tmp_path)


@pytest.mark.parametrize("command", [["init"], ["site", "list"], ["status"]])
def test_a_server_that_is_away_is_told_in_one_line(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tianyu.schema.database.RETRY_SECONDS", ())
    said = invoke(AWAY, *command, code=2)
    assert "does not answer" in said
    assert "secret" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("service", ["manager", "consumer"])
def test_a_service_waits_for_its_server_and_says_so(
    service: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("tianyu.cli.connect.time.sleep", pause)
    invoke(AWAY, service, code=130)
    assert pauses == [0.5, 1.0, 2.0]
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == 3
    assert "tianyu:***@127.0.0.1:1/tianyu does not answer" in said[0]
    assert "trying again in 0.5 s" in said[0]
    assert "secret" not in "".join(said)


def test_a_database_of_somebody_else_is_refused(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "other.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE invoices (id INTEGER)")
    connection.close()
    assert "tables that are not ours" in invoke(sqlite_url(path), "init", code=2)


# -- sites -------------------------------------------------------------------------------------


def test_a_site_is_added_and_changed_one_thing_at_a_time(url: str, tmp_path: Path) -> None:
    added = ["site", "add", "dome", "--root", str(tmp_path), "--lease", "120", "--group", "gpu"]
    said = answer(url, *added)
    expected = {
        "name": "dome", "root": str(tmp_path), "groups": ["gpu"], "lease_s": 120.0, "address": None
    }  # fmt: skip
    assert said == {"site": expected}
    invoke(url, "site", "add", "dome", "--address", "http://dome:8080")
    assert sites(url)["dome"] == expected | {"address": "http://dome:8080"}
    invoke(url, "site", "add", "dome", "--lease", "5", "--group", "cpu")
    assert sites(url)["dome"]["lease_s"] == 5.0
    assert sites(url)["dome"]["groups"] == ["cpu", "gpu"]
    assert "cpu, gpu" in invoke(url, "site", "list")


def test_a_new_site_without_a_root_is_refused(url: str) -> None:
    said = invoke(url, "site", "add", "dome", code=2)
    assert "the new site 'dome' needs a root folder; give --root DIR" in said


# -- targets and instruments -------------------------------------------------------------------


def test_a_target_is_added_and_given_its_coordinates_later(url: str) -> None:
    number = answer(url, "target", "add", "HAT-P-32")["id"]
    known = answer(url, "target", "add", "HAT-P-32", "--ra", "31.042825", "--dec", "46.687837")
    assert known == {"target": "HAT-P-32", "id": number}
    (target,) = answer(url, "target", "list")["targets"]
    expected = {"name": "HAT-P-32", "kind": "star", "ra_deg": 31.042825, "dec_deg": 46.687837}
    assert target == expected
    assert "31.042825" in invoke(url, "target", "list")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--ra", "31"], "give both --ra and --dec, or neither"),
        (["--ra", "400", "--dec", "0"], "right ascension 400.0 is impossible"),
        (["--kind", "planet"], "'planet' is not one of 'star', 'moving', 'field', 'calibration'"),
    ],
)
def test_impossible_targets_are_refused(url: str, options: list[str], complaint: str) -> None:
    said = invoke(url, "target", "add", "x", *options, code=2)
    assert complaint in " ".join(said.replace("│", " ").split())


def test_facts_of_an_instrument_outrank_its_headers(url: str) -> None:
    invoke(url, "instrument", "add", "Main CCD", "--lat", "31.68", "--lon", "-110.88")
    invoke(url, "instrument", "add", "Main CCD", "--gain", "1.5", "--lon", "-110.9")
    (instrument,) = answer(url, "instrument", "list")["instruments"]
    assert instrument["latitude_deg"] == 31.68
    assert instrument["longitude_deg"] == -110.9
    assert instrument["gain_e_per_adu"] == 1.5
    assert instrument["read_noise_e"] is None
    assert "Main CCD" in invoke(url, "instrument", "list")


def test_an_instrument_at_an_unknown_site_is_refused(url: str) -> None:
    said = invoke(url, "instrument", "add", "x", "--site", "dome", code=2)
    assert "there is no site 'dome'; known sites: local" in said


# -- register and publish ----------------------------------------------------------------------


def test_frames_are_registered_under_a_name_and_published_once(
    url: str, night_folder: Path
) -> None:
    frames = str(night_folder)
    first = answer(url, "register", frames, "--observation", "first night", "--no-publish")
    kinds = {o["kind"]: o for o in first["observations"]}
    assert set(kinds) == {"bias", "dark", "flat", "light"}
    assert kinds["light"]["name"] == "first night"
    assert (kinds["light"]["n_frames"], kinds["light"]["n_new"]) == (12, 12)
    assert all(o["run"] is None for o in first["observations"])

    published = answer(url, "register", frames, "--observation", "first night", "--chunk", "4")
    light = published["observations"][-1]
    assert light["n_new"] == 0
    assert light["run"]["is_new"]
    assert light["run"]["n_processes"] == 16

    run = light["run"]["run_id"]
    again = invoke(url, "publish", "first night", "--chunk", "4")
    assert f"run {run} is this reduction already; nothing was published" in again
    other = answer(url, "publish", str(light["observation_id"]), "--chunk", "6")
    assert other["run_id"] == run + 1


def test_one_name_for_no_light_frames_is_refused(url: str, night_folder: Path) -> None:
    biases = [str(path) for path in sorted(night_folder.glob("bias*"))]
    said = invoke(url, "register", *biases, "--observation", "first night", code=2)
    assert "one name, 'first night', for 0 observations of light frames" in said


def test_an_unknown_observation_is_refused_with_those_there_are(
    url: str, night_folder: Path
) -> None:
    assert "there are: none at all" in invoke(url, "publish", "nowhere", code=2)
    invoke(url, "register", str(night_folder), "--observation", "first night", "--no-publish")
    said = invoke(url, "publish", "nowhere", code=2)
    assert "there is no observation 'nowhere'" in said
    assert "'first night'" in said


def test_registering_for_people(url: str, night_folder: Path) -> None:
    said = invoke(url, "register", str(night_folder), "--target", "TY-SIM-1")
    assert "TY-SIM-1, r, 2025-03-16" in said
    again = invoke(url, "register", str(night_folder), "--target", "TY-SIM-1")
    assert "as before" in again


def test_a_consumer_of_an_unknown_site_is_refused(url: str) -> None:
    said = invoke(url, "consumer", "--site", "dome", code=2)
    assert "there is no site 'dome'; known sites: local" in said


# -- several sites -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("dome:8766", "is no URL of a file service; give https://HOST:PORT"),
        ("ftp://dome", "is no URL of a file service"),
        ("https://", "is no URL of a file service"),
        ("https://me:password@dome", "holds more than host, port and path; its token is the setti"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, address: str, text: str) -> None:
    said = invoke(url, "site", "add", "local", "--address", address, code=2)
    assert text in " ".join(said.split())
    assert "password" not in said.replace("me:password", "")
    assert sites(url)["local"]["address"] is None


def test_files_are_not_served_without_a_token(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = " ".join(invoke(url, "serve-files", code=2).split())
    assert "the setting file_token is not set; put 16 or more random ones into a file" in said
    monkeypatch.setenv("TIANYU_FILE_TOKEN", "too short")
    assert "has 9 characters" in invoke(url, "serve-files", code=2)


def test_files_are_not_served_with_half_of_a_certificate(url: str, tmp_path: Path) -> None:
    pem = tmp_path / "server.pem"
    assert "need each other" in invoke(url, "serve-files", "--certificate", str(pem), code=2)
    both = ["--certificate", str(pem), "--key", str(pem)]
    assert "which is no file" in " ".join(invoke(url, "serve-files", *both, code=2).split())


def test_the_token_is_never_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIANYU_FILE_TOKEN", "a very secret token of a site")
    said = invoke(url, "config") + invoke(url, "config", "--json")
    assert "secret token" not in said
    assert "TIANYU_FILE_TOKEN" in said


def test_an_unknown_site_of_science_is_refused(url: str, tmp_path: Path) -> None:
    said = invoke(url, "register", str(tmp_path), "--science-site", "moon", code=2)
    assert "there is no site 'moon'; known sites: local" in said


def test_an_impossible_number_of_consumers_is_refused(url: str) -> None:
    said = invoke(url, "scale", "--min", "5", "--max", "2", code=2)
    assert "from 5 to 2 consumers is impossible" in said
