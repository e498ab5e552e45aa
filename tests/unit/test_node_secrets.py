"""Certificates and secrets that are made where the servers are, for the sites that reach them."""

import os
import shutil
import ssl
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from tianyu.schema.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
SERVERS = "10.0.0.1"

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


def script(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(DEPLOY / name), *arguments],
        env={"PATH": os.environ["PATH"], "TIANYU_SECRETS": str(folder)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def certificates(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return script(folder, "make-certificates.sh", *arguments)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Secrets where the servers are, and the folder of one more site."""
    folder = tmp_path_factory.mktemp("made") / "secrets"
    for command in (
        ("make-secrets.sh", str(folder)),
        ("make-certificates.sh", "servers", SERVERS, "db.example.org", "2001:db8::1"),
        ("make-node-secrets.sh", "obs", SERVERS, "10.0.0.2"),
    ):
        done = script(folder, *command)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(made, tmp_path / "secrets")


def handshake(folder: Path, certificate: Path, name: str) -> None:
    """Let a server show a certificate to a client that trusts our authority alone."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate, certificate.with_suffix(".key"))
    client_side = ssl.create_default_context(cafile=folder / "ca.pem")
    # What later versions of Python ask by default.
    client_side.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    client = client_side.wrap_bio(to_client, to_server, server_hostname=name)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


@pytest.mark.parametrize(
    "name", [SERVERS, "db.example.org", "2001:db8::1", "mysql", "rabbitmq", "127.0.0.1"]
)
def test_the_servers_are_known_by_each_of_their_addresses(made: Path, name: str) -> None:
    handshake(made, made / "servers.pem", name)


def test_the_servers_are_not_known_by_another_address(made: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"10\.0\.0\.2"):
        handshake(made, made / "servers.pem", "10.0.0.2")


def test_a_site_gets_one_folder_with_all_that_it_mounts(made: Path) -> None:
    node = made / "nodes" / "obs"
    mounted = yaml.safe_load((DEPLOY / "site-node.compose.yml").read_text())["secrets"].values()
    assert {path.name for path in node.iterdir()} == {Path(m["file"]).name for m in mounted}

    for role, name in (("consumer", "database_url"), ("publisher", "publisher_database_url")):
        password = (made / f"mysql_{role}_password").read_text()
        url = f"mysql+pymysql://tianyu_{role}:{password}@{SERVERS}:3306/tianyu"
        assert (node / name).read_text() == url
    assert (node / "file_token").read_text() == (made / "file_token").read_text()
    handshake(node, node / "files.pem", "10.0.0.2")

    settings = Settings(
        database_url=(node / "database_url").read_text(),
        broker_url=(node / "broker_url").read_text(),
        tls_ca=node / "ca.pem",
    )
    assert settings.broker_address.startswith("amqps://tianyu:")
    assert f"@{SERVERS}:5671/tianyu?" in settings.broker_address


def test_no_secret_can_be_read_by_others(folder: Path) -> None:
    # Again, over folders that are there by now.
    assert script(folder, "make-secrets.sh", str(folder)).returncode == 0
    for place in (folder, folder / "authority", folder / "nodes", folder / "nodes" / "obs"):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "authority" / "ca.key").stat().st_mode) == 0o600
    assert not list((folder / "nodes").rglob("ca.key")), "only this machine may vouch"


def test_what_is_there_is_never_overwritten(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert certificates(folder, "servers", SERVERS).returncode == 0
    assert script(folder, "make-node-secrets.sh", "obs", SERVERS, "10.0.0.2").returncode == 0
    refused = certificates(folder, "servers", "10.0.0.3")
    assert (refused.returncode, "not for 10.0.0.3; move it away" in refused.stderr) == (1, True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_key_of_the_authority_that_is_kept_elsewhere_is_asked_for(folder: Path) -> None:
    (folder / "authority" / "ca.key").unlink()
    refused = certificates(folder, "files", "second", "10.0.0.3")
    assert (refused.returncode, "ca.key" in refused.stderr) == (1, True)
    assert not list((folder / "nodes" / "second").iterdir())


@pytest.mark.parametrize("address", ["a,DNS:elsewhere", "10.1", "", "-x", "a b", "a\nb", "*"])
def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    refused = certificates(tmp_path, "servers", address)
    assert refused.returncode == 1
    assert "is no host name and no IP address" in refused.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("site", ["../elsewhere", "", ".", "a/b"])
def test_a_site_is_no_path(made: Path, site: str) -> None:
    for refused in (
        certificates(made, "files", site, "10.0.0.2"),
        script(made, "make-node-secrets.sh", site, SERVERS),
    ):
        assert refused.returncode == 1
        assert "can not be the name of a site's folder" in refused.stderr


def test_it_says_what_is_to_be_done_first(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert "make-secrets.sh first" in script(folder, "make-node-secrets.sh", "obs", SERVERS).stderr
    assert script(folder, "make-secrets.sh", str(folder)).returncode == 0
    missing = script(folder, "make-node-secrets.sh", "obs", SERVERS).stderr
    assert f"make-certificates.sh servers {SERVERS} first" in missing
    assert certificates(folder, "servers", "10.9.9.9").returncode == 0
    assert f"not for {SERVERS}" in script(folder, "make-node-secrets.sh", "obs", SERVERS).stderr
