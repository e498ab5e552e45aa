"""Where real telescope frames lie, and a clear line where they do not."""

import os
from pathlib import Path

import pytest

VARIABLE = "TIANYU_TEST_DATA"


def real_data(name: str) -> Path:
    """Return a folder of real frames, or skip the test."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get(VARIABLE, beside)) / name
    if not folder.is_dir():
        pytest.skip(f"no real frames in {folder}; set {VARIABLE} to the folder that holds {name}/")
    return folder
