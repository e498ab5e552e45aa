"""RabbitMQ: what all of its servers share, and the one started from its binary."""

import json
import shutil
import subprocess
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import pika
from pika.exceptions import AMQPError
from tests.servers.binaries import Binaries
from tests.servers.certificates import write_certificates
from tests.servers.ports import free_ports
from tests.servers.process import ServerProcess
from tests.servers.server import START_PATIENCE_S, Server

VHOSTS_AT_A_TIME = 16
"""The command-line tool starts an Erlang machine, 1 s, however many vhosts it is given."""

CONFIGURATION = """\
# Small, so that a full developer's disk does not block publishing.
disk_free_limit.absolute = 1MB
vm_memory_high_watermark.absolute = 1GB
listeners.ssl.default = {tls_listener}
ssl_options.cacertfile = {folder}/ca.pem
ssl_options.certfile = {folder}/server.pem
ssl_options.keyfile = {folder}/server.key
ssl_options.verify = verify_none
"""


class BrokerServer(Server):
    """A throw-away RabbitMQ."""

    name = "broker"
    folder: Path
    """Holds the certificates."""
    port: int
    tls_port: int

    def __init__(self) -> None:
        super().__init__()
        self._vhosts_made = 0
        self._vhosts_free: list[str] = []

    @property
    def url(self) -> str:
        """URL of the default vhost."""
        return self._url_of("/")

    @property
    def tls_url(self) -> str:
        """URL of the default vhost through TLS, with the authority to be trusted."""
        options = quote(str({"ca_certs": f"{self.folder}/ca.pem", "server_hostname": "127.0.0.1"}))
        return f"amqps://guest:guest@127.0.0.1:{self.tls_port}/%2F?ssl_options={options}"

    @abstractmethod
    def control(self, *arguments: str) -> str:
        """Run ``rabbitmqctl``; takes about a second."""

    @abstractmethod
    def hand_over(self, name: str, text: str) -> str:
        """Write a file where ``rabbitmqctl`` can read it; return its path there."""

    def answers(self) -> bool:
        """Tell whether a client can open a channel."""
        return _answers(self.url)

    def fresh_vhost(self) -> str:
        """Return the URL of a vhost that nobody has used."""
        if not self._vhosts_free:
            self._make_vhosts()
        return self._url_of(self._vhosts_free.pop(0))

    def set_alarm(self, *, on: bool) -> None:
        """Make the server short of memory: it blocks all who publish, until told otherwise."""
        self.control("set_vm_memory_high_watermark", "absolute", "1" if on else "1GB")

    def _make_vhosts(self) -> None:
        first = self._vhosts_made + 1
        names = [f"v{number}" for number in range(first, first + VHOSTS_AT_A_TIME)]
        rights = {"user": "guest", "configure": ".*", "write": ".*", "read": ".*"}
        definitions = {
            "vhosts": [{"name": name} for name in names],
            "permissions": [{"vhost": name, **rights} for name in names],
        }
        path = self.hand_over("definitions.json", json.dumps(definitions))
        self.control("import_definitions", path)
        # The tool returns before the work is done.
        deadline = time.monotonic() + START_PATIENCE_S
        while not all(_answers(self._url_of(name)) for name in reversed(names)):
            assert time.monotonic() < deadline, "the vhosts were not made"
            time.sleep(0.05)
        self._vhosts_made += len(names)
        self._vhosts_free = names

    def _url_of(self, vhost: str) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{quote(vhost, safe='')}"


class BrokerProcess(ServerProcess, BrokerServer):
    """A RabbitMQ started from its binary, with a port mapper (epmd) of its own."""

    def __init__(self, binaries: Binaries) -> None:
        super().__init__()
        self._binaries = binaries
        self.port, self.tls_port, self._node_port, self._mapper_port = free_ports(4)
        self._mapper: subprocess.Popen[bytes] | None = None
        write_certificates(self.folder)
        listener = f"127.0.0.1:{self.tls_port}"
        configuration = CONFIGURATION.format(tls_listener=listener, folder=self.folder)
        self.hand_over("rabbitmq.conf", configuration + "log.console = false\n")
        self.hand_over("enabled_plugins", "[].")

    def command(self) -> Sequence[str]:
        """Return the command of the server."""
        return [str(self._binaries.rabbitmq_server)]

    def environment(self) -> Mapping[str, str]:
        """Return everything RabbitMQ must not take from the system's installation."""
        folder = self.folder
        return {
            **super().environment(),
            "RABBITMQ_NODENAME": f"t{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        }

    def start(self) -> None:
        """Start the port mapper once, so that it is ours to end, and the server."""
        if self._mapper is None:
            self._mapper = self.spawn([shutil.which("epmd") or "epmd"])
        super().start()

    def remove(self) -> None:
        """End server and port mapper, and delete the folder."""
        super().remove()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()
            self.dismiss_guard(self._mapper)

    def control(self, *arguments: str) -> str:
        """Run ``rabbitmqctl``; takes about a second."""
        return self.run([str(self._binaries.rabbitmqctl), *arguments])

    def hand_over(self, name: str, text: str) -> str:
        """Write a file into the folder."""
        path = self.folder / name
        path.write_text(text)
        return str(path)


class ExternalBrokerServer:
    """A server that is there already; it can be used but not broken.

    Parameters
    ----------
    url : str
        Of a vhost that is for tests only: no fresh ones can be made through it.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def fresh_vhost(self) -> str:
        """Return the only vhost there is."""
        return self.url

    def make_healthy(self) -> None:
        """Do nothing: it is not ours."""


def _answers(url: str) -> bool:
    parameters = pika.URLParameters(url)
    parameters.socket_timeout = parameters.stack_timeout = 5.0
    try:
        connection = pika.BlockingConnection(parameters)
    except (AMQPError, OSError):
        return False
    connection.channel()
    connection.close()
    return True
