"""What the conformance suite needs of a broker beyond the interface, for each kind of broker."""

import time
import uuid
from abc import ABC, abstractmethod

import pika
from tests.servers.binaries import not_ours
from tests.servers.rabbitmq import BrokerServer, ExternalBrokerServer

from tianyu.broker.interface import Broker, QueueAddress
from tianyu.broker.memory import MemoryBroker, MemoryServer
from tianyu.broker.rabbitmq import RabbitBroker
from tianyu.broker.topology import dead_letters


class Harness(ABC):
    """One server, and ways to do to it what the world does."""

    def __init__(self) -> None:
        self.clients: list[Broker] = []
        self.addresses: list[QueueAddress] = []
        # Names of this test's own are quicker than a vhost of its own.
        self._site = f"site-{uuid.uuid4().hex[:8]}"

    def client(self) -> Broker:
        """Connect one more client; it is closed after the test."""
        broker = self.connect()
        self.clients.append(broker)
        return broker

    def address(self, group: str = "cpu") -> QueueAddress:
        """Name a queue that no other test uses."""
        address = QueueAddress(len(self.addresses) + 1, self._site, group)
        self.addresses.append(address)
        return address

    def clean_up(self) -> None:
        """Close all clients and forget the queues."""
        for broker in self.clients:
            broker.close()
        for address in self.addresses:
            self.wipe(address)

    @abstractmethod
    def connect(self) -> Broker:
        """Connect a client."""

    @abstractmethod
    def send(self, address: QueueAddress, body: bytes) -> None:
        """Put any bytes into a queue."""

    @abstractmethod
    def dead(self, address: QueueAddress) -> list[bytes]:
        """Return the dead letters of a queue."""

    @abstractmethod
    def wipe(self, address: QueueAddress) -> None:
        """Delete a queue with all its messages."""

    @abstractmethod
    def kill_server(self) -> None:
        """Let the server vanish without a word."""

    @abstractmethod
    def start_server(self) -> None:
        """Start it again with what it had on disk."""

    @abstractmethod
    def set_alarm(self, *, on: bool) -> None:
        """Make the server refuse messages, as for want of memory."""


class MemoryHarness(Harness):
    """The broker in memory, behaving well."""

    def __init__(self) -> None:
        super().__init__()
        self.server = MemoryServer()

    def connect(self) -> Broker:
        return MemoryBroker(self.server)

    def send(self, address: QueueAddress, body: bytes) -> None:
        assert self.server.send(address.name, body)

    def dead(self, address: QueueAddress) -> list[bytes]:
        return self.server.dead[address.name]

    def wipe(self, address: QueueAddress) -> None:
        self.server.queues.pop(address.name, None)

    def kill_server(self) -> None:
        self.server.is_up = False
        for broker in self.clients:
            assert isinstance(broker, MemoryBroker)
            broker.lose_connection()

    def start_server(self) -> None:
        self.server.is_up = True

    def set_alarm(self, *, on: bool) -> None:
        self.server.is_blocked = on


class RabbitHarness(Harness):
    """A real RabbitMQ."""

    def __init__(self, server: BrokerServer | ExternalBrokerServer) -> None:
        super().__init__()
        self.server = server

    def connect(self) -> Broker:
        return RabbitBroker(self.server.url)

    def send(self, address: QueueAddress, body: bytes) -> None:
        with pika.BlockingConnection(pika.URLParameters(self.server.url)) as connection:
            connection.channel().basic_publish("", address.name, body)

    def dead(self, address: QueueAddress) -> list[bytes]:
        bodies = []
        with pika.BlockingConnection(pika.URLParameters(self.server.url)) as connection:
            channel = connection.channel()
            while (found := channel.basic_get(dead_letters(address.name), auto_ack=True))[0]:
                bodies.append(found[2])
        return bodies

    def wipe(self, address: QueueAddress) -> None:
        with pika.BlockingConnection(pika.URLParameters(self.server.url)) as connection:
            channel = connection.channel()
            channel.queue_delete(address.name)
            channel.queue_delete(dead_letters(address.name))

    def kill_server(self) -> None:
        # RabbitMQ writes the name of a new queue half a second after it has declared it, and
        # a queue whose name was not written comes back empty, whatever it had confirmed.
        time.sleep(1.0)
        self._own().kill()

    def start_server(self) -> None:
        self._own().start()

    def set_alarm(self, *, on: bool) -> None:
        self._own().set_alarm(on=on)

    def _own(self) -> BrokerServer:
        if isinstance(self.server, ExternalBrokerServer):
            not_ours("the broker")
        return self.server
