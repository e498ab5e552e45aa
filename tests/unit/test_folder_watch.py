"""Frames that come into a folder are seen, by notices or by looking again and again."""

import time

import pytest

from tianyu.publisher.folderwatch import FolderWatch
from tianyu.publisher.settling import Settling
from tianyu.schema.errors import ConfigurationError


def taken(folder, settling, wanted, patience_s=20.0):
    """Return the names of the files that become whole until as many as wanted have come."""
    found = set()
    deadline = time.monotonic() + patience_s
    while len(found) < wanted and time.monotonic() < deadline:
        folder.look()
        found |= {whole.path.name for whole in settling.ready()[0]}
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("is_polling", [False, True])
def test_frames_are_seen_however_they_come(write_fits, tmp_path, is_polling):
    incoming, own = tmp_path / "incoming", tmp_path / "incoming" / "raw"
    write_fits(incoming / "there.fits")
    write_fits(own / "ours.fits", seed=9)
    settling = Settling(settle_s=0.05)
    folder = FolderWatch(incoming, settling, leave_out=[own], is_polling=is_polling)
    folder.start()
    try:
        assert taken(folder, settling, 1) == {"there.fits"}
        write_fits(incoming / "written.fits", seed=1)
        part = write_fits(incoming / ".renamed.part", seed=2)
        part.rename(incoming / "renamed.fits")
        write_fits(incoming / "deeper" / "below.fits", seed=3)
        write_fits(own / "placed.fits", seed=4)
        # Folders that are new are found by the list that follows the notice of them.
        assert taken(folder, settling, 3) == {"written.fits", "renamed.fits", "below.fits"}
    finally:
        folder.stop()


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match="is no folder that could be watched"):
        FolderWatch(tmp_path / "nowhere", Settling())
