"""``tianyu serve-files`` as a program of its own: it sends, says how it is, stops when asked."""

import json
import os
import subprocess
import time

import urllib3
from tests.integration.served.installation import PROGRAM
from tests.integration.sites.service import TOKEN
from tests.servers.ports import free_ports


def test_the_program_serves_until_it_is_asked_to_stop(sites):
    image_id = sites.add_image(b"a frame")
    port, metrics_port = free_ports(2)
    process = subprocess.Popen(
        [str(PROGRAM), "serve-files", "--site", "observatory", "--port", str(port)],
        env={
            **os.environ,
            "TIANYU_DATABASE_URL": sites.database.text_url,
            "TIANYU_FILE_TOKEN": TOKEN,
            "TIANYU_METRICS_PORT": str(metrics_port),
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/livez")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = urllib3.request(
            "GET", f"http://127.0.0.1:{port}/images/{image_id}", headers=headers
        )
        assert (answer.status, answer.data) == (200, b"a frame")
        assert urllib3.request("GET", f"http://127.0.0.1:{metrics_port}/readyz").status == 200
        sites.root("observatory").rename(sites.folder / "unmounted")
        ill = urllib3.request("GET", f"http://127.0.0.1:{metrics_port}/readyz")
        assert "is not there; is it mounted?" in json.loads(ill.data)["complaints"][0]
        process.terminate()
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "files of observatory served at http://127.0.0.1" in said
    assert TOKEN not in said


def _wait_for(url):
    deadline = time.monotonic() + 60
    while not _answers(url):
        assert time.monotonic() < deadline, "the service did not start"
        time.sleep(0.1)


def _answers(url):
    try:
        answer = urllib3.request("GET", url, retries=False)
    except urllib3.exceptions.HTTPError:
        return False
    return answer.status == 200
