"""Stored paths: made from rows, valid on every platform, never outside the root."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianyu.schema.errors import UnsafePathError
from tianyu.schema.paths import (
    MAX_COMPONENT_BYTES,
    check_component,
    product_path,
    raw_path,
    resolve,
)


def test_where_files_lie() -> None:
    assert raw_path(7, "M31 0001.fits.fz") == "raw/000007/M31 0001.fits.fz"
    path = product_path(12, "stack_frames", 1700000000123456789, 2, "template.fits")
    assert path == "runs/000012/stack_frames/1700000000123456789.2.template.fits"


def test_a_second_attempt_never_overwrites_the_first() -> None:
    assert product_path(1, "stack", 5, 1, "a.fits") != product_path(1, "stack", 5, 2, "a.fits")


@pytest.mark.parametrize(
    "name",
    ["a", "M31 r 0001.fits", ".hidden", "a..b", "console.fits", "天宇.fits", "-x", "com10", "%41"],
)
def test_names_that_every_platform_takes(name: str) -> None:
    assert check_component(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "a/b", "a\\b", "a:b", "C:", "a*", "a?", '"', "<", ">", "|", "a\x00", "a\n",
        "ends.", "ends ", "CON", "nul.fits", "Com1.txt", "lpt9", "aux .fits", "x" * 201, "ä" * 101,
        "\udcff.fits",
    ],
)  # fmt: skip
def test_names_that_some_platform_refuses(name: str) -> None:
    with pytest.raises(UnsafePathError, match="rename it"):
        check_component(name)


def test_length_counts_bytes() -> None:
    assert check_component("ä" * (MAX_COMPONENT_BYTES // 2))


@given(st.text())
def test_what_is_accepted_is_one_component_on_every_platform(name: str) -> None:
    try:
        check_component(name)
    except UnsafePathError:
        return
    assert Path(name).name == name
    assert not set(name) & set('<>:"/\\|?*\0')
    assert len(name.encode()) <= MAX_COMPONENT_BYTES


def test_a_stored_path_leads_into_the_root(tmp_path: Path) -> None:
    expected = tmp_path / "raw" / "000001" / "a.fits"
    assert resolve(tmp_path, "raw/000001/a.fits") == expected


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "//host/share",
        "",
        ".",
        "../x",
        "a/../../x",
        "a/..",
        "C:/x",
        "a\\..\\b",
        "a/con",
    ],
)  # fmt: skip
def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(UnsafePathError):
        resolve(tmp_path, path)


def test_a_link_out_of_the_root_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "out").symlink_to(tmp_path)
    with pytest.raises(UnsafePathError, match="leads out of the site's root"):
        resolve(root, "out/x.fits")


def test_a_link_within_the_root_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert resolve(tmp_path, "link/x.fits").name == "x.fits"


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UnsafePathError, match=r"leads (nowhere|out)"):
        resolve(tmp_path, "loop/x.fits")


def test_a_root_that_is_itself_a_link_is_fine(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    assert resolve(tmp_path / "root", "a.fits") == tmp_path / "disk" / "a.fits"


@given(st.text(st.sampled_from("./\\a:\0~%\n \u2025\u2215"), max_size=12))
def test_whatever_is_stored_leads_into_the_root_or_nowhere(path: str) -> None:
    root = Path("/survey/root")
    try:
        found = resolve(root, path)
    except UnsafePathError:
        return
    assert found.is_relative_to(root)
    assert ".." not in found.parts
    assert "\0" not in str(found)
