"""A database server that offers TLS, or surely does not."""

from collections.abc import Sequence

from tests.servers.binaries import Binaries
from tests.servers.certificates import write_certificates
from tests.servers.mariadb import DatabaseProcess


class TlsDatabaseServer(DatabaseProcess):
    """A throw-away server with a certificate for 127.0.0.1.

    Parameters
    ----------
    binaries : Binaries
    offers : bool
        Whether it offers TLS at all.
    """

    def __init__(self, binaries: Binaries, *, offers: bool = True) -> None:
        super().__init__(binaries)
        self._offers = offers
        write_certificates(self.folder)

    def command(self) -> Sequence[str]:
        """Return the command of the server."""
        if not self._offers:
            return [*super().command(), "--skip-ssl" if self._is_mariadb else "--tls-version="]
        return [
            *super().command(),
            f"--ssl-ca={self.folder}/ca.pem",
            f"--ssl-cert={self.folder}/server.pem",
            f"--ssl-key={self.folder}/server.key",
        ]
