"""Whether a file is still what a result came from."""

import hashlib

import pytest

from tianyu.cli.provenance.files import FileState, StoredFile, check_file
from tianyu.pipelines.fits import fingerprint

CONTENT = bytes(range(256)) * 1024
"""256 KiB: its middle is not in the fingerprint."""


@pytest.fixture
def stored(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "f.fits").write_bytes(CONTENT)
    registered = fingerprint(tmp_path / "raw" / "f.fits").header_sha256

    def make(**changes):
        values = {
            "site": "local", "root": tmp_path, "path": "raw/f.fits", "size_bytes": len(CONTENT),
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
            "fingerprint": registered,
        }  # fmt: skip
        return StoredFile(**(values | changes))

    return make


def test_an_untouched_file(stored, tmp_path):
    check = check_file(stored())
    assert (check.state, check.path) == (FileState.UNCHANGED, str(tmp_path / "raw/f.fits"))
    assert "SHA-256 of the whole file" in check.detail


def test_one_byte_in_the_middle_is_seen_by_the_checksum_alone(stored, tmp_path):
    changed = CONTENT[:131072] + b"!" + CONTENT[131073:]
    (tmp_path / "raw" / "f.fits").write_bytes(changed)
    check = check_file(stored())
    assert check.state is FileState.CHANGED
    assert hashlib.sha256(changed).hexdigest() in check.detail
    weaker = check_file(stored(sha256=None))
    assert weaker.state is FileState.UNCHANGED
    assert weaker.detail == "size, first and last 64 KiB compared just now"


def test_another_length_is_said_in_bytes(stored, tmp_path):
    (tmp_path / "raw" / "f.fits").write_bytes(CONTENT[:-1])
    check = check_file(stored())
    assert check.state is FileState.CHANGED
    assert check.detail == "it had 262144 bytes and has 262143 now"


def test_without_a_checksum_the_ends_tell(stored, tmp_path):
    (tmp_path / "raw" / "f.fits").write_bytes(b"!" + CONTENT[1:])
    assert check_file(stored(sha256=None)).state is FileState.CHANGED
    assert check_file(stored(sha256=None, fingerprint=None)).state is FileState.UNKNOWN


def test_a_file_that_is_gone_and_a_site_that_is_elsewhere(stored, tmp_path):
    (tmp_path / "raw" / "f.fits").unlink()
    assert check_file(stored()).state is FileState.MISSING
    check = check_file(stored(root=tmp_path / "nowhere"))
    assert check.state is FileState.OUT_OF_REACH
    assert check.detail.endswith("nowhere of site local is not on this machine")


def test_a_path_that_leads_out_of_the_site_is_not_followed(stored):
    assert check_file(stored(path="../secret")).state is FileState.OUT_OF_REACH
