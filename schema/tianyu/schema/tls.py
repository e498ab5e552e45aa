"""TLS to the servers: whom to trust, put into the URLs by which everything connects.

Children of consumers get a URL and nothing else, so that is where the names of the files go.
"""

from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, quote, urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from tianyu.schema.errors import ConfigurationError


class TlsFiles(Protocol):
    """The files, as the settings name them."""

    @property
    def tls_ca(self) -> Path | None:
        """Certificates of the authorities that vouch for the servers."""
        ...

    @property
    def tls_certificate(self) -> Path | None:
        """Our own certificate, for servers that ask for it."""
        ...

    @property
    def tls_key(self) -> Path | None:
        """The key of our own certificate."""
        ...


def check(files: TlsFiles) -> None:
    """Refuse files that are not there or of no use.

    Raises
    ------
    ConfigurationError
    """
    for name in ("tls_ca", "tls_certificate", "tls_key", "file_tls_ca"):
        path: Path | None = getattr(files, name, None)
        if path is not None and not path.is_file():
            raise ConfigurationError(f"{name} names {path}, which is no file")
    if (files.tls_certificate is None) != (files.tls_key is None):
        raise ConfigurationError("tls_certificate and tls_key need each other; give both or none")
    if files.tls_certificate is not None and files.tls_ca is None:
        raise ConfigurationError(
            "tls_certificate is of no use without tls_ca: the server would not be checked"
        )


def database_address(url: str, files: TlsFiles) -> str:
    """Return the URL of a database with TLS, if it is a server and an authority is named.

    What the URL itself says of TLS comes first.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return url  # whoever opens it says what is wrong with it
    if files.tls_ca is None or parsed.get_backend_name() == "sqlite" or "ssl_ca" in parsed.query:
        return url
    options = {"ssl_ca": str(files.tls_ca.resolve())}
    if files.tls_certificate is not None and files.tls_key is not None:
        options["ssl_cert"] = str(files.tls_certificate.resolve())
        options["ssl_key"] = str(files.tls_key.resolve())
    return parsed.update_query_dict(options).render_as_string(hide_password=False)


def broker_address(url: str, files: TlsFiles) -> str:
    """Return the URL of a broker with TLS, if an authority is named.

    Raises
    ------
    ConfigurationError
        If an authority is named and the URL is of a plain connection: to fall back to one
        silently would be worse than no TLS at all.
    """
    scheme = url.partition(":")[0].lower()
    if files.tls_ca is None or scheme == "embedded":
        return url
    if scheme == "amqp":
        raise ConfigurationError(
            "tls_ca is set, but broker_url begins with amqp://, which is not encrypted; write "
            "amqps:// and the port for TLS, mostly 5671"
        )
    parts = urlsplit(url)
    if "ssl_options" in parse_qs(parts.query):
        return url
    options = {"ca_certs": str(files.tls_ca.resolve()), "server_hostname": parts.hostname or ""}
    if files.tls_certificate is not None and files.tls_key is not None:
        options["certfile"] = str(files.tls_certificate.resolve())
        options["keyfile"] = str(files.tls_key.resolve())
    joint = "&" if parts.query else "?"
    return f"{url}{joint}ssl_options={quote(str(options))}"
