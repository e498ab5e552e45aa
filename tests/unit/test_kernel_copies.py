"""Kernels that come compiled with the program are copied to where this machine keeps its own."""

import logging
import os
import subprocess
import sys

import pytest

from tianyu.pipelines.kernel_copies import adopt

VERSION = "0123456789abcdef"


@pytest.fixture
def shipped(tmp_path):
    """Return a folder with what one version's kernels were compiled to."""
    file = tmp_path / "shipped" / VERSION / "kernels" / "circle.nbi"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"compiled")
    return tmp_path / "shipped"


def test_they_are_copied_where_there_are_none(shipped, tmp_path):
    adopt(str(shipped), tmp_path / "own" / VERSION)
    assert [p.name for p in (tmp_path / "own").iterdir()] == [VERSION], "nothing is left over"
    copy = tmp_path / "own" / VERSION / "kernels" / "circle.nbi"
    assert copy.read_bytes() == b"compiled"
    assert copy.stat().st_mtime == (shipped / VERSION / "kernels" / "circle.nbi").stat().st_mtime


def test_what_this_machine_has_compiled_is_kept(shipped, tmp_path):
    own = tmp_path / "own" / VERSION
    own.mkdir(parents=True)
    adopt(str(shipped), own)
    assert not list(own.iterdir())


def test_those_of_another_version_are_no_use(shipped, tmp_path):
    adopt(str(shipped), tmp_path / "own" / "fedcba9876543210")
    assert not (tmp_path / "own").exists()


def test_none_are_named(tmp_path):
    adopt("", tmp_path / "own" / VERSION)
    assert not (tmp_path / "own").exists()


def test_a_copy_that_fails_is_told_and_does_no_harm(shipped, tmp_path, caplog):
    (shipped / VERSION / "kernels" / "circle.nbd").symlink_to(tmp_path / "nowhere")
    with caplog.at_level(logging.WARNING):
        adopt(str(shipped), tmp_path / "own" / VERSION)
    assert "kernels are compiled" in caplog.text
    assert not (tmp_path / "own" / VERSION).exists()


COUNTED = """
import numpy as np
from tianyu.pipelines.kernels import compiled_kernels

assert compiled_kernels()
from numba.core import event  # reads where compiled code is kept

class Listener(event.Listener):
    n = 0
    def on_start(self, event):
        self.n += 1
    def on_end(self, event):
        assert event.is_end

listener = Listener()
event.register("numba:compile", listener)
from tianyu.pipelines.science.kernels.blankness import extremes
extremes(np.zeros((8, 8), np.uint16))
print(listener.n)
"""


def test_a_process_that_has_copied_them_compiles_nothing(tmp_path):
    """Numba itself finds the copies: nothing in them depends on the folder that they were in."""
    said = []
    for own, source in (("first", ""), ("second", "first")):
        environment = {
            **os.environ,
            "TIANYU_KERNELS": "fast",
            "TIANYU_KERNEL_CACHE": str(tmp_path / own),
            "TIANYU_KERNEL_SOURCE": str(tmp_path / source) if source else "",
        }
        environment.pop("NUMBA_CACHE_DIR", None)
        done = subprocess.run(
            [sys.executable, "-c", COUNTED], env=environment, capture_output=True, text=True,
            check=True, timeout=120,
        )  # fmt: skip
        said.append(int(done.stdout))
    assert said[0] > 0
    assert said[1] == 0
