"""Paths from headers, names, parameters and rows: none leads out of the site's root."""

from pathlib import Path

import pytest
from sqlalchemy import insert, select, update
from tests.unit.cli_fixtures import invoke

from tianyu.consumer.outcomes import failure_of
from tianyu.pipelines.context import StepContext
from tianyu.publisher.registering import RegisterRequest, TargetRequest, register
from tianyu.schema.directory import ensure_queue
from tianyu.schema.errors import UnsafePathError
from tianyu.schema.states import ErrorKind
from tianyu.schema.tables import Image, ImageCopy, Process, Stack
from tianyu.schema.transitions.publish import ProcessSpec, RunSpec, insert_graph, insert_run

EVIL = ["../../../outside", "/etc/outside", "..", "a/../../../outside", "C:\\outside", "~/outside"]


def files_below(folder: Path) -> set[Path]:
    return {
        path for path in folder.rglob("*") if path.is_file() and "tianyu.sqlite" not in path.name
    }


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_in_a_header_or_a_target_names_a_place(installation, write_fits, tmp_path, evil):
    arriving = tmp_path / "arriving"
    names = ("OBJECT", "FILTER", "INSTRUME", "TELESCOP", "FILENAME", "ORIGFILE")
    for number in range(3):
        cards = dict.fromkeys(names, evil)
        write_fits(arriving / f"light{number}.fits", seed=number, **cards)
    before = files_below(tmp_path)
    request = RegisterRequest(
        (arriving,), installation.site_id, installation.root, target=TargetRequest(name=evil)
    )
    register(installation.database, request)
    new = files_below(tmp_path) - before
    assert len(new) == 3
    assert all(path.is_relative_to(installation.root / "raw") for path in new)


@pytest.mark.parametrize(
    "name",
    ["a..fits", "a\\..\\b.fits", "con.fits", "a:b.fits", "~.fits", "x" * 240 + ".fits", "a\n.fits"],
)
def test_odd_names_of_files_become_harmless_ones(installation, write_fits, tmp_path, name):
    write_fits(tmp_path / "arriving" / name)
    request = RegisterRequest((tmp_path / "arriving",), installation.site_id, installation.root)
    register(installation.database, request)
    placed = files_below(installation.root)
    assert len(placed) == 1
    assert all(path.is_relative_to(installation.root / "raw") for path in placed)


def context(installation) -> StepContext:
    return StepContext(
        installation.database, 1, 1, "step", 1, installation.site_id, installation.root
    )


@pytest.mark.parametrize("evil", [*EVIL[:-1], "a\0b", "raw/../../x", ""])
def test_a_row_or_parameter_that_leads_out_fails_for_good(installation, evil):
    with pytest.raises(UnsafePathError) as caught:
        context(installation).file_of(evil)
    assert failure_of(caught.value).kind is ErrorKind.PERMANENT
    with pytest.raises(UnsafePathError):
        context(installation).product_file(f"{evil}/x.fits")


def test_a_tilde_is_a_letter_like_others(installation):
    assert context(installation).file_of("~/x") == installation.root / "~" / "x"


def test_products_do_not_follow_a_link_out_of_the_root(installation, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (installation.root / "runs").symlink_to(outside)
    with pytest.raises(UnsafePathError, match="leads out of the site's root"):
        context(installation).product_file("x.fits")
    assert list(outside.iterdir()) == []


def test_purging_deletes_nothing_outside_whatever_a_row_says(installation, tmp_path):
    precious = tmp_path / "precious.fits"
    precious.write_bytes(b"mine")
    with installation.database.write() as connection:
        queue = ensure_queue(connection, installation.site_id, "cpu")
        spec = RunSpec("r", "test", 1, {}, "1", [ProcessSpec(1, "step", {}, queue)])
        run = insert_run(connection, spec)
        insert_graph(connection, run, spec.processes)
        connection.execute(update(Process).values(state="succeeded"))
        size = {"width": 1, "height": 1, "binning": 1, "header": {}}
        connection.execute(insert(Image).values(kind="stack", name="s", run_id=run, **size))
        image = connection.scalar(select(Image.id))
        facts = {"level": 0, "position": 0, "n_frames": 1, "exposure_s": 1.0}
        connection.execute(insert(Stack).values(image_id=image, run_id=run, **facts))
        copy = {"path": "../precious.fits", "size_bytes": 4, "created_us": 0}
        connection.execute(
            insert(ImageCopy).values(image_id=image, site_id=installation.site_id, **copy)
        )
    said = invoke(installation.database.text_url, "run", "purge", str(run), code=2)
    assert "'..' cannot be a file name" in said
    assert precious.exists()
