"""Bad frames within a night: each is named with its reason, and the night goes on.

One night with every kind of bad file, one test per kind; ``docs/bad-input.md`` is its table.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from tests.acceptance.badnights import (
    Answer,
    copy_of,
    cut_short,
    facts,
    run,
    spoil,
    work_off_here,
)

from tianyu.pipelines.simulation import NightPlan, simulate_night

GOOD = {f"light_r_{i:04d}.fits" for i in (1, 2, 3, 4, 5, 6)}

NOT_USED = {
    "truncated": "the file is truncated (136832 bytes are declared, ",
    "no_fits": "not a FITS file, it begins with b'<html>40' and not with SIMPLE",
    "empty": "not a FITS file, it begins with b'' and not with SIMPLE",
    "cube": "no two-dimensional image; the file holds 0 (256, 256, 3)",
    "bias_002": "the file is truncated",
}
REJECTED = {
    "all_nan": "no pixel has a value, all are NaN; leave the file out",
    "constant": "every pixel holds 1000 ADU: the shutter, the exposure or the read-out failed",
    "saturated": "% of the pixels are saturated, at 65535 ADU; expose shorter",
    "unalignable": "pairs agree at best, chance gives",
}
TABLE = Path(__file__).resolve().parents[2] / "docs/bad-input.md"


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night")
    simulate_night(NightPlan.small(n_light=8), folder)
    return folder


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Pixels of another field."""
    folder = tmp_path_factory.mktemp("elsewhere")
    simulate_night(NightPlan.small(seed=99, n_light=1), folder)
    return fits.getdata(folder / "light_r_0001.fits")


@pytest.fixture(scope="module")
def dirty(night: Path, elsewhere: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """Six good frames, two of cloud, and one of every bad kind beside them."""
    folder = copy_of(night, tmp_path_factory.mktemp("dirty") / "frames")

    def another(name: str, minute: int) -> Path:
        path = folder / f"{name}.fits"
        shutil.copy(folder / "light_r_0003.fits", path)
        spoil(path, DATE_OBS=f"2025-03-17T05:{minute:02d}:00.000")
        return path

    cut_short(another("truncated", 1))
    (folder / "no_fits.fits").write_text("<html>404 Not Found</html>")
    (folder / "empty.fits").write_bytes(b"")
    spoil(another("wrong_shape", 2), lambda p: p[:128, :200])
    spoil(another("cube", 3), lambda p: np.stack([p, p, p]))
    spoil(another("all_nan", 4), lambda p: np.full(p.shape, np.nan, np.float32))
    spoil(another("constant", 5), lambda p: np.full_like(p, 1000))
    spoil(another("saturated", 6), lambda p: np.where(p < np.median(p), p, 65535))
    spoil(another("no_time", 7), DATE_OBS=None)
    spoil(another("wrong_filter", 8), FILTER="B")
    spoil(another("unalignable", 9), lambda _: elsewhere)
    shutil.copy(folder / "light_r_0003.fits", folder / "twin.fits")
    shutil.copy(folder / "light_r_0004.fits", folder / "twin_of_4.fits")
    spoil(folder / "twin_of_4.fits", OBSERVER="me")
    spoil(folder / "light_r_0005.fits", MJD_OBS=60000.25)
    spoil(folder / "flat_r_002.fits", np.zeros_like)
    cut_short(folder / "bias_002.fits")
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tianyu.cli.reduction.work_off", work_off_here)
        return run("reduce", folder, "--out", out)


def test_the_table_in_the_documentation_has_these_messages() -> None:
    table = TABLE.read_text(encoding="utf-8")
    reasons = [reason for name, reason in (NOT_USED | REJECTED).items() if name != "empty"]
    assert [reason for reason in reasons if reason not in table] == []


def test_the_night_goes_on_and_the_command_succeeds(dirty: Answer) -> None:
    assert dirty.code == 0, dirty.text
    assert dirty.good_frames() == GOOD
    assert dirty.rows("SELECT COUNT(*) FROM process WHERE state <> 'succeeded'") == [(0,)]


def test_the_light_curves_are_those_of_the_clean_night(
    dirty: Answer, night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of stars a hundred times above the noise, to a part in 200."""
    monkeypatch.setattr("tianyu.cli.reduction.work_off", work_off_here)
    clean = run("reduce", copy_of(night, tmp_path / "frames"), "--out", tmp_path / "out")
    query = (
        "SELECT ROUND(l.ra, 4), ROUND(l.dec, 4), l.utc_mid, l.relative_flux FROM light_curve l "
        "WHERE l.frame_is_good = 1 AND l.is_default_radius = 1 AND l.flux > 100 * l.flux_error"
    )
    curves = [{row[:3]: row[3] for row in answer.rows(query)} for answer in (clean, dirty)]
    common = sorted(curves[0].keys() & curves[1].keys())
    assert len(common) > 0.8 * len(curves[0]) > 50
    before, after = (np.array([curve[key] for key in common]) for curve in curves)
    assert np.median(np.abs(after / before - 1)) < 0.005


@pytest.mark.parametrize(("name", "reason"), NOT_USED.items())
def test_what_is_no_frame_is_not_used(dirty: Answer, name: str, reason: str) -> None:
    assert dirty.line("not used: ", f"{name}.fits").startswith(f"not used: {name}.fits: {reason}")
    assert f"{name}.fits" not in facts(dirty, "SELECT name, id FROM image")


@pytest.mark.parametrize(("name", "reason"), REJECTED.items())
def test_a_frame_without_a_picture_of_this_field_is_rejected(
    dirty: Answer, name: str, reason: str
) -> None:
    assert reason in dirty.line("rejected: ", f"{name}.fits: ")
    reasons = facts(
        dirty,
        "SELECT i.name, v.reason FROM frame_verdict v JOIN image i ON i.id = v.image_id "
        "WHERE v.is_good = 0",
    )
    assert reason in reasons[f"{name}.fits"]


@pytest.mark.parametrize(
    ("name", "observation"),
    [
        ("wrong_shape", "TY-SIM-1, r, 2025-03-16, Simulated 0.5 m Simulated CCD, 200x128"),
        ("wrong_filter", "TY-SIM-1, B, 2025-03-16, Simulated 0.5 m Simulated CCD, 256x256"),
        ("no_time", "TY-SIM-1, r, unknown night, Simulated 0.5 m Simulated CCD, 256x256"),
    ],
)
def test_a_frame_of_another_kind_is_an_observation_of_its_own(
    dirty: Answer, name: str, observation: str
) -> None:
    said = dirty.line("note: ", f"{observation}: 1 good frame")
    assert said.endswith("a light curve needs 2: fluxes are stored, relative fluxes are not")
    stored = facts(
        dirty,
        "SELECT i.name, COUNT(f.flux) FROM flux f JOIN image i ON i.id = f.image_id "
        "GROUP BY i.name",
    )
    assert stored[f"{name}.fits"] > 0


def test_no_calibration_is_taken_from_another_size_or_filter(dirty: Answer) -> None:
    said = dirty.line("skipped: ", "200x128: no flat fits")
    assert "(of another size, 256×256 pixels)" in said
    said = dirty.line("skipped: ", "TY-SIM-1, B,")
    assert "no flat fits: flat correction is skipped" in said
    assert "(in another filter, r)" in said


def test_the_frame_without_a_time_is_named(dirty: Answer) -> None:
    assert dirty.line("no card tells when").startswith("note: no_time.fits: ")


def test_of_two_times_it_is_said_which_was_used(dirty: Answer) -> None:
    said = dirty.line("light_r_0005.fits: MJD-OBS is")
    assert "from DATE-OBS, more than their digits allow" in said
    assert said.endswith("DATE-OBS was used")
    assert "light_r_0005.fits" in dirty.good_frames()


def test_a_duplicate_is_taken_once(dirty: Answer) -> None:
    assert "has the same content as" in dirty.line("not used: twin.fits")
    said = dirty.line("not used: twin_of_4.fits")
    assert said.endswith("twin_of_4.fits holds the pixels of light_r_0004.fits; it is taken once")


def test_a_black_flat_is_not_in_the_master(dirty: Answer) -> None:
    assert "every pixel holds 0 ADU" in dirty.line("note: flat, r", "flat_r_002.fits")
    said = dirty.line("note: flat, r", "combined by")
    assert "4 flats, their light changing as in twilight" in said
