"""The database and the broker in containers, by the public images of MySQL and RabbitMQ."""

import shutil
import tempfile
from pathlib import Path

import docker
from tests.servers.certificates import write_certificates
from tests.servers.container import ServerContainer
from tests.servers.mariadb import PASSWORD, DatabaseServer
from tests.servers.ports import free_ports
from tests.servers.rabbitmq import CONFIGURATION, BrokerServer

FOLDER = "/etc/rabbitmq"


class DatabaseContainer(ServerContainer, DatabaseServer):
    """MySQL in a container; an image of MariaDB takes the same variables."""

    # The image gives its other account one database only.
    account = "root"

    def __init__(self, engine: docker.DockerClient, image: str) -> None:
        (self.port,) = free_ports(1)
        super().__init__(
            engine,
            image,
            command=[
                "--innodb-flush-log-at-trx-commit=2",
                "--skip-log-bin",
                "--performance-schema=OFF",
                "--character-set-server=utf8mb4",
                "--local-infile=ON",
            ],
            environment={"MYSQL_ROOT_PASSWORD": PASSWORD, "MYSQL_ROOT_HOST": "%"},
            ports={3306: self.port},
        )


class BrokerContainer(ServerContainer, BrokerServer):
    """RabbitMQ in a container, without its web page."""

    def __init__(self, engine: docker.DockerClient, image: str) -> None:
        self.port, self.tls_port = free_ports(2)
        super().__init__(
            engine,
            image,
            command=["rabbitmq-server"],
            environment={},
            ports={5672: self.port, 5671: self.tls_port},
        )
        self.folder = Path(tempfile.mkdtemp(prefix="tianyu-broker-"))
        write_certificates(self.folder)
        for name in ("ca.pem", "server.pem", "server.key"):
            self.put(f"{FOLDER}/{name}", (self.folder / name).read_bytes())
        configuration = CONFIGURATION.format(tls_listener="5671", folder=FOLDER)
        # The connections of this machine come from the engine's bridge.
        configuration += "loopback_users.guest = false\n"
        self.put(f"{FOLDER}/conf.d/90-tests.conf", configuration.encode())
        self.put(f"{FOLDER}/enabled_plugins", b"[].")

    def remove(self) -> None:
        """End it and delete its data and the certificates."""
        super().remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    def control(self, *arguments: str) -> str:
        """Run ``rabbitmqctl``; takes about a second."""
        return self.run(["rabbitmqctl", *arguments])

    def hand_over(self, name: str, text: str) -> str:
        """Put a file into the container."""
        path = f"/tmp/{name}"  # noqa: S108 - of the container
        self.put(path, text.encode())
        return path
