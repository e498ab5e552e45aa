"""What the file service sends, and to whom."""

import hashlib

import pytest
import urllib3
from sqlalchemy import update
from tests.integration.sites.service import TOKEN

from tianyu.cli.fileservice.application import application
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.tables import ImageCopy


def get(address, path, token=TOKEN, **headers):
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    return urllib3.request("GET", f"{address}{path}", headers=sent, retries=False)


@pytest.fixture
def frame(sites, content):
    """A registered frame and its content."""
    whole = content(100_000)
    return sites.add_image(whole), whole


def test_a_registered_image_is_sent_whole_with_its_checksum_as_etag(address, frame):
    image_id, whole = frame
    answer = get(address, f"/images/{image_id}")
    assert (answer.status, answer.data) == (200, whole)
    assert answer.headers["ETag"] == f'"{hashlib.sha256(whole).hexdigest()}"'


def test_a_part_is_sent_on_request(address, frame):
    image_id, whole = frame
    answer = get(address, f"/images/{image_id}", Range="bytes=99000-")
    assert (answer.status, answer.data) == (206, whole[99_000:])
    assert answer.headers["Content-Range"] == "bytes 99000-99999/100000"


def test_a_part_of_what_is_no_more_is_answered_with_the_whole(address, frame):
    image_id, whole = frame
    answer = get(address, f"/images/{image_id}", Range="bytes=99000-", If_Range='"another"')
    assert (answer.status, answer.data) == (200, whole)


def test_the_checksum_of_a_raw_frame_is_computed(address, sites):
    image_id = sites.add_image(b"frame", checksum=False)
    answer = get(address, f"/images/{image_id}")
    assert answer.headers["ETag"] == f'"{hashlib.sha256(b"frame").hexdigest()}"'


def test_nothing_is_sent_without_the_token(address, frame):
    image_id, whole = frame
    for token in (None, "", "a wrong token of that length", TOKEN[:-1], "ÿ" * 25):
        answer = get(address, f"/images/{image_id}", token)
        assert answer.status == 401
        assert b"token" in answer.data
        assert whole[:32] not in answer.data


def test_a_path_in_a_request_is_no_path_of_a_file(address, frame):
    for path in (
        "/images/4711",
        "/images/99999999999999999999999",
        "/images/raw/000001/light.fits",
        "/images/..%2f..%2ftianyu.sqlite",
        "/images/../tianyu.sqlite",
        "/raw/000001/light.fits",
        "/",
    ):
        assert get(address, path).status == 404, path


def test_nothing_can_be_written(address, frame):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"{address}/images/{frame[0]}"
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert urllib3.request(method, url, headers=headers, retries=False).status == 405


def test_an_image_of_another_site_is_not_sent(address, sites, frame):
    image_id, _ = frame
    with sites.database.write() as connection:
        connection.execute(update(ImageCopy).values(site_id=sites.centre))
    assert get(address, f"/images/{image_id}").status == 404


def test_a_row_that_leads_out_of_the_root_is_not_followed(address, sites):
    (sites.folder / "secret").write_bytes(b"secret")
    image_id = sites.add_image(b"secret", "raw/file")
    (sites.root("observatory") / "raw/link").symlink_to(sites.folder / "secret")
    for path in ("../secret", "/etc/passwd", "raw/link"):
        with sites.database.write() as connection:
            connection.execute(update(ImageCopy).values(path=path))
        assert get(address, f"/images/{image_id}").status == 404, path


def test_a_file_of_another_size_than_registered_is_not_sent(address, sites, frame):
    with (sites.root("observatory") / "raw/000001/light.fits").open("ab") as file:
        file.write(b"more")
    assert get(address, f"/images/{frame[0]}").status == 404


def test_it_tells_strangers_only_that_it_lives(address):
    assert get(address, "/livez", None).data == b"ok\n"


@pytest.mark.parametrize("token", ["", "fifteen letters"])
def test_a_token_that_keeps_nobody_out_is_refused(sites, token):
    with pytest.raises(ConfigurationError, match=r"file_token .* 16 or more random ones"):
        application(sites.files, token)
