"""RabbitMQ as the broker: hints in durable quorum queues, one per site and group."""

import threading
from collections.abc import Collection, Sequence

from tianyu.broker.consuming import HOLD_S, Subscriber
from tianyu.broker.interface import Hint, QueueAddress, Trouble
from tianyu.broker.parameters import CONNECT_TIMEOUT_S, parameters_of
from tianyu.broker.publishing import Publisher
from tianyu.broker.topology import dead_letters

PUBLISH_TIMEOUT_S = 10.0
"""Confirms of a healthy broker take milliseconds; what is late is dispatched again later."""


class RabbitBroker:
    """Hints through RabbitMQ; never raises for a broker that is away, but for :meth:`depth`.

    Publishing and consuming have a connection each, because RabbitMQ stops reading from
    connections that publish while it is short of memory or disk; they are opened when first
    used. All methods may be called by any thread. A connection that is lost comes back by
    itself, and everything is declared again.

    Parameters
    ----------
    url : str
        ``amqp://user:password@host:port/vhost`` or ``amqps://…``, see
        :func:`tianyu.broker.parameters.parameters_of`.
    publish_timeout_s : float
        How long :meth:`publish` waits for confirms, seconds.
    hold_s : float
        Hints that were fetched ahead go back after this time without :meth:`receive`, seconds.

    Raises
    ------
    ConfigurationError
        If the URL is malformed.
    """

    carries_messages = True

    def __init__(
        self,
        url: str,
        *,
        publish_timeout_s: float = PUBLISH_TIMEOUT_S,
        hold_s: float = HOLD_S,
    ) -> None:
        parameters_of(url, "check")
        self._url = url
        self._publish_timeout_s = publish_timeout_s
        self._hold_s = hold_s
        self._lock = threading.Lock()
        self._publisher: Publisher | None = None
        self._subscriber: Subscriber | None = None

    @property
    def is_blocked(self) -> bool:
        """Whether the broker refuses messages for now, out of memory or disk."""
        return self._publisher is not None and self._publisher.is_blocked

    @property
    def n_reconnects(self) -> int:
        """How often a connection or channel was lost and opened again."""
        return sum(side.n_reconnects for side in (self._publisher, self._subscriber) if side)

    def trouble(self) -> Trouble | None:
        """Return what keeps this client from working, the longest one first."""
        troubles = [side.trouble() for side in (self._publisher, self._subscriber) if side]
        found = [trouble for trouble in troubles if trouble is not None]
        return max(found, key=lambda trouble: trouble.lasts_s, default=None)

    def publish(self, queue: QueueAddress, process_ids: Sequence[int]) -> Collection[int]:
        """Send hints; return the ids that the broker has written to disk."""
        return self._publishing().publish(queue.name, process_ids, self._publish_timeout_s)

    def subscribe(self, queues: Sequence[QueueAddress], prefetch: int = 1) -> None:
        """Receive hints of these queues, ``prefetch`` of each ahead."""
        self._consuming().subscribe(queues, prefetch)

    def receive(self, timeout_s: float) -> Hint | None:
        """Return the next hint, or None when none came in time."""
        return self._consuming().receive(timeout_s)

    def acknowledge(self, hint: Hint) -> None:
        """Tell the broker that the hint has been dealt with."""
        # Whoever has closed meanwhile has nothing to acknowledge.
        if self._subscriber is not None:
            self._subscriber.acknowledge(hint)

    def depth(self, queue: QueueAddress) -> int:
        """Return how many hints wait in a queue; none in one that does not exist.

        While a restarted broker still elects the leader of a queue it says 0, too.

        Raises
        ------
        BrokerUnreachableError
            If the broker does not answer.
        """
        # Not through the publishing connection, which goes unread while the broker blocks it.
        return self._consuming().depth(queue.name, CONNECT_TIMEOUT_S)

    def n_dead(self, queue: QueueAddress) -> int:
        """Return how many dead letters of a queue are kept.

        Raises
        ------
        BrokerUnreachableError
            If the broker does not answer.
        """
        return self._consuming().depth(dead_letters(queue.name), CONNECT_TIMEOUT_S)

    def wake(self) -> None:
        """Wake all who wait at this broker, in whatever process or on whatever machine."""
        if self._subscriber is not None:
            self._subscriber.wake()
        self._publishing().wake()

    def wait(self, timeout_s: float) -> bool:
        """Wait until somebody calls :meth:`wake`; return whether that happened."""
        return self._consuming().wait(timeout_s)

    def close(self) -> None:
        """Close both connections."""
        with self._lock:
            publisher, self._publisher = self._publisher, None
            subscriber, self._subscriber = self._subscriber, None
        if publisher is not None:
            publisher.close()
        if subscriber is not None:
            subscriber.close()

    def _publishing(self) -> Publisher:
        with self._lock:
            if self._publisher is None:
                self._publisher = Publisher(self._url)
            return self._publisher

    def _consuming(self) -> Subscriber:
        with self._lock:
            if self._subscriber is None:
                self._subscriber = Subscriber(self._url, self._hold_s)
            return self._subscriber
