"""Servers of the data centre that the observatory may reach, too."""

from collections.abc import Mapping, Sequence

from tests.servers.binaries import Binaries
from tests.servers.mariadb import DatabaseProcess
from tests.servers.rabbitmq import BrokerProcess

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"  # noqa: S104 - of a namespace without a way out


class ReachableDatabase(DatabaseProcess):
    """A database server that listens at every address of its namespace."""

    def command(self) -> Sequence[str]:
        """Return the command of the server."""
        bound = f"--bind-address={LOOPBACK}"
        return [
            f"--bind-address={EVERYWHERE}" if part == bound else part for part in super().command()
        ]


class ReachableBroker(BrokerProcess):
    """A RabbitMQ that listens at every address of its namespace."""

    def __init__(self, binaries: Binaries) -> None:
        super().__init__(binaries)
        path = self.folder / "rabbitmq.conf"
        # Its first account may come from elsewhere.
        self.hand_over("rabbitmq.conf", path.read_text() + "loopback_users = none\n")

    def environment(self) -> Mapping[str, str]:
        """Return all variables the server sees."""
        return {**super().environment(), "RABBITMQ_NODE_IP_ADDRESS": EVERYWHERE}
