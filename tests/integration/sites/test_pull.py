"""A file brought over a link that breaks: nothing that has come is lost, nothing wrong is kept."""

import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.sites.service import TOKEN, serving
from tests.servers.certificates import write_certificates
from tests.servers.proxy import Proxy

from tianyu.pipelines import pulling
from tianyu.pipelines.errors import (
    MissingInputError,
    PermanentError,
    TransientError,
    UnreachableError,
)
from tianyu.pipelines.filelink import LinkOptions, RemoteFile
from tianyu.pipelines.pulling import pull

OPTIONS = LinkOptions(TOKEN, patience_s=0.3)
SIZE = 3_000_000


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch):
    monkeypatch.setattr(pulling, "FIRST_PAUSE_S", 0.02)


@pytest.fixture
def whole(content):
    return content(SIZE)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "centre" / "received" / "000000" / "1.light.fits"


def remote(address, image_id, whole, **values):
    known = {"size_bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
    return RemoteFile(f"{address}/images/{image_id}", **{**known, **values})


def others(target):
    return [path.name for path in target.parent.iterdir() if path != target]


def test_a_file_comes_whole_and_leaves_nothing_beside_it(address, sites, whole, target):
    file = remote(address, sites.add_image(whole), whole)
    assert pull(file, target, OPTIONS) == file.sha256
    assert target.read_bytes() == whole
    assert others(target) == []


def test_what_is_there_already_is_not_fetched_again(address, sites, whole, target):
    file = remote(address, sites.add_image(whole), whole)
    pull(file, target, OPTIONS)
    came = []
    pull(file, target, OPTIONS, lambda n, _total: came.append(n))
    assert came == []


@given(kept=st.integers(0, SIZE))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_wherever_it_broke_off_only_the_rest_is_fetched(address, sites, whole, target, kept):
    file = remote(address, sites.add_image(whole), whole)
    target.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(pulling._part_name(target, file.sha256))
    part.write_bytes(whole[:kept])
    came = []
    pull(file, target, OPTIONS, lambda n, _total: came.append(n))
    assert sum(came) == SIZE - kept
    assert target.read_bytes() == whole


def test_a_link_that_is_cut_again_and_again_brings_every_byte_once(address, sites, whole, target):
    parts = urlsplit(address)
    came, cuts = [], []
    with Proxy((parts.hostname, parts.port)) as proxy:
        file = remote(f"http://127.0.0.1:{proxy.port}", sites.add_image(whole), whole)

        def count(n, total):
            came.append(n)
            # Not near the end, which may have come already when the cut comes.
            if total > (len(cuts) + 1) * 700_000 and total < SIZE - 1_000_000:
                cuts.append(total)
                proxy.cut()

        pull(file, target, OPTIONS, count)
        assert proxy.times_connected > 1
    assert cuts
    assert target.read_bytes() == whole
    assert sum(came) == SIZE, "bytes that had come were fetched again"


def test_a_site_that_is_away_costs_nothing_but_time(sites, whole, target):
    def half(_n, total):
        if total > SIZE // 2:
            raise KeyboardInterrupt

    with serving(sites.files) as address:
        file = remote(address, sites.add_image(whole), whole)
        with pytest.raises(KeyboardInterrupt):
            pull(file, target, OPTIONS, half)
    with pytest.raises(UnreachableError, match=r"has brought nothing for .* what has come is kept"):
        pull(file, target, OPTIONS)
    (part,) = others(target)
    assert SIZE // 2 < target.with_name(part).stat().st_size < SIZE
    assert not target.exists()


def test_what_was_damaged_on_the_way_is_thrown_away_and_fetched_anew(address, sites, whole, target):
    file = remote(address, sites.add_image(whole), whole)
    target.parent.mkdir(parents=True)
    target.with_name(pulling._part_name(target, file.sha256)).write_bytes(b"\0" * 100_000)
    with pytest.raises(TransientError, match=r"is damaged: its SHA-256 is .*fetched anew"):
        pull(file, target, OPTIONS)
    assert others(target) == []
    pull(file, target, OPTIONS)
    assert target.read_bytes() == whole


def test_without_a_registered_checksum_that_of_the_service_counts(address, sites, whole, target):
    """And a raw frame that has come is known, or is gone on with, by another attempt."""
    image_id = sites.add_image(whole, checksum=False)
    file = remote(address, image_id, whole, sha256=None)
    sha256 = hashlib.sha256(whole).hexdigest()
    target.parent.mkdir(parents=True)
    target.with_name(pulling._part_name(target, sha256)).write_bytes(whole[: SIZE // 2])
    came = []
    for _ in range(2):
        assert pull(file, target, OPTIONS, lambda n, _total: came.append(n)) == sha256
    assert target.read_bytes() == whole
    assert sum(came) == SIZE - SIZE // 2
    assert others(target) == []


def test_another_file_than_the_registered_one_is_refused(address, sites, whole, target):
    file = remote(address, sites.add_image(whole), whole, sha256="0" * 64)
    with pytest.raises(PermanentError, match="another file than was registered"):
        pull(file, target, OPTIONS)
    assert not target.exists()


def test_an_image_that_is_gone_will_not_come_back(address, whole, target):
    with pytest.raises(MissingInputError, match=r"is gone \(404\)"):
        pull(remote(address, 4711, whole), target, OPTIONS)


def test_a_wrong_token_is_told(address, sites, whole, target):
    file = remote(address, sites.add_image(whole), whole)
    with pytest.raises(PermanentError, match=r"refuses us \(401\); file_token must be"):
        pull(file, target, LinkOptions("another token of 25 chars"))


def test_a_transfer_keeps_to_its_limit(address, sites, content, target):
    """100 kB at 400 kB/s take a quarter of a second, however fast the link."""
    small = content(100_000)
    file = remote(address, sites.add_image(small), small)
    begun = time.monotonic()
    pull(file, target, LinkOptions(TOKEN, limit_bytes_per_s=400_000))
    assert time.monotonic() - begun >= 0.25


def test_tls_is_checked(sites, content, tmp_path, target):
    small = content(100_000)
    image_id = sites.add_image(small)
    write_certificates(tmp_path)
    strangers = tmp_path / "strangers"
    strangers.mkdir()
    write_certificates(strangers)
    with serving(sites.files, tmp_path) as address:
        file = remote(address, image_id, small)
        with pytest.raises(PermanentError, match="not the one we trust"):
            pull(file, target, LinkOptions(TOKEN, tls_ca=strangers / "ca.pem"))
        pull(file, target, LinkOptions(TOKEN, tls_ca=tmp_path / "ca.pem"))
    assert target.read_bytes() == small


def test_the_token_does_not_follow_a_redirection(sites, whole, target):
    seen = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_arguments):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(PermanentError, match="answers 302; is the site's address"):
            pull(remote(f"http://127.0.0.1:{server.server_port}", 1, whole), target, OPTIONS)
    finally:
        server.shutdown()
        server.server_close()
    assert seen == ["/images/1"]
