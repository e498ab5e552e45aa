"""One AMQP connection with a thread of its own, which comes back by itself.

Heartbeats must go out while the rest of the program computes or waits for a database, so
nothing but this thread touches the connection; others hand it work through :meth:`Link.call`.
"""

import logging
import random
import threading
import time
from collections.abc import Callable

import pika
from pika.channel import Channel
from pika.connection import Connection
from pika.exceptions import ChannelClosedByClient, ConnectionWrongStateError

from tianyu.broker.interface import Trouble

logger = logging.getLogger(__name__)

# The client library logs each lost connection several times, with tracebacks; once is enough.
logging.getLogger("pika").setLevel(logging.CRITICAL)

OPEN_PATIENCE_S = 2.0
"""How long callers wait for a connection: a first one takes milliseconds, and a manager whose
broker is away has leases to watch meanwhile."""

FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 5.0

STABLE_S = 5.0
"""What was lost sooner than this after it opened counts as one more failure in a row."""

CLOSE_PATIENCE_S = 2.0
"""A broker that blocks publishing does not even read the wish to close."""


def _in_words(reason: BaseException) -> str:
    """Return the one error that counts; the library wraps it up in two others.

    Examples
    --------
    >>> _in_words(OSError("the network is down"))
    'the network is down'
    """
    while True:
        causes = getattr(reason, "exceptions", None) or [
            arg for arg in reason.args if isinstance(arg, BaseException)
        ]
        if not causes:
            return getattr(reason, "strerror", None) or str(reason) or repr(reason)
        reason = causes[-1]


class Link:
    """A connection with one channel, opened again with back-off whenever it is lost.

    RabbitMQ may close the channel alone, for instance when a message stayed unacknowledged
    for longer than its ``consumer_timeout``: nothing is raised then and the connection stays
    open without a consumer. Here that is just another loss.

    Parameters
    ----------
    parameters : pika.URLParameters
    purpose : str
        For logs and the name of the thread.
    on_open : callable
        Called with each new channel, in the thread of the link: declares, subscribes.
    on_lost : callable
        Called in the thread of the link when a channel is gone.
    """

    def __init__(
        self,
        parameters: pika.URLParameters,
        purpose: str,
        on_open: Callable[[Channel], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._parameters = parameters
        self._purpose = purpose
        self._on_open = on_open
        self._on_lost = on_lost
        self._lock = threading.Lock()
        self._connection: pika.SelectConnection | None = None
        self._channel: Channel | None = None
        self._usable = threading.Event()
        self._closing = threading.Event()
        self._blocked = False
        self._failures = 0
        self._times_opened = 0
        self._opened_at = 0.0
        self._lost_at = time.monotonic()
        self._thread = threading.Thread(
            target=self._run, name=f"tianyu-broker-{purpose}", daemon=True
        )

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    @property
    def is_open(self) -> bool:
        """Whether there is a channel to work with."""
        return self._usable.is_set()

    @property
    def is_blocked(self) -> bool:
        """Whether the broker has stopped to read what is published here."""
        return self._blocked

    @property
    def times_opened(self) -> int:
        """How often there was a new channel: one that differs from before is another."""
        return self._times_opened

    def trouble(self) -> Trouble | None:
        """Return what is wrong with the connection; None where it can be worked with."""
        if self.is_open:
            return None
        with self._lock:
            is_connected = self._connection is not None and self._connection.is_open
        what = (
            f"connected to the broker at {self.where}, but deaf: the channel is closed"
            if is_connected
            else f"no connection to the broker at {self.where}"
        )
        return Trouble(what, time.monotonic() - self._lost_at)

    @property
    def where(self) -> str:
        """The other end, for messages to people; without the password."""
        p = self._parameters
        scheme = "amqps" if p.ssl_options else "amqp"
        return f"{scheme}://{p.host}:{p.port}/{p.virtual_host.lstrip('/')}"

    def wait_open(self, timeout_s: float) -> bool:
        """Wait for a channel to work with; return whether there is one."""
        return self._usable.wait(timeout_s)

    def call(self, work: Callable[[Channel], None]) -> bool:
        """Hand work to the thread of the link; return whether there is a channel for it.

        The work is dropped when the channel is lost before its turn.
        """
        with self._lock:
            if self._connection is None or self._channel is None:
                return False
            self._connection.ioloop.add_callback_threadsafe(lambda: self._do(work))
            return True

    def call_later(self, delay_s: float, work: Callable[[Channel], None]) -> None:
        """Do work after a while; to be called in the thread of the link only."""
        if self._connection is not None:
            self._connection.ioloop.call_later(delay_s, lambda: self._do(work))

    def renew(self) -> None:
        """Replace the channel by a new one; to be called in the thread of the link only.

        When the broker does not even close the channel, because a queue of it hangs there,
        the whole connection is given up.
        """
        channel = self._channel
        if channel is None:
            return
        self._lose()
        if channel.is_open:
            channel.close()
        channel.connection.ioloop.call_later(
            CLOSE_PATIENCE_S, lambda: None if channel.is_closed else self._abort(channel.connection)
        )

    def close(self) -> None:
        """Close the connection and end the thread; may be called twice."""
        self._closing.set()
        with self._lock:
            if self._connection is not None:
                self._connection.ioloop.add_callback_threadsafe(self._shut)
        if self._thread.is_alive():
            self._thread.join(2 * CLOSE_PATIENCE_S)

    # -- in the thread of the link ----------------------------------------------------------

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._live_once()
            except Exception:
                # A defect in a call-back must cost one connection, not the consumer.
                logger.exception("the connection to the broker at %s broke", self.where)
            if not self._closing.is_set():
                self._closing.wait(self._backoff_s())

    def _live_once(self) -> None:
        connection = pika.SelectConnection(
            self._parameters,
            on_open_callback=self._connected,
            on_open_error_callback=self._ended,
            on_close_callback=self._ended,
        )
        with self._lock:
            self._connection = connection
        try:
            if self._closing.is_set():
                self._shut()
            connection.ioloop.start()
        finally:
            self._lose()
            with self._lock:
                self._connection = None
            connection.ioloop.close()

    def _connected(self, connection: Connection) -> None:
        self._blocked = False
        connection.add_on_connection_blocked_callback(lambda *_: self._hear(blocked=True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._hear(blocked=False))
        self._open_channel()

    def _hear(self, *, blocked: bool) -> None:
        self._blocked = blocked
        word = "blocks publishing: memory or disk is short there" if blocked else "is free again"
        logger.warning("the broker at %s %s", self.where, word, extra={"action": "broker-alarm"})

    def _open_channel(self) -> None:
        connection = self._connection
        if connection is not None and connection.is_open:
            connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._channel_closed)
        # First, so that work handed over while declarations are made is done after them.
        with self._lock:
            self._channel = channel
        self._on_open(channel)
        self._opened_at = time.monotonic()
        self._times_opened += 1
        self._usable.set()
        logger.info("%s: connected to the broker at %s", self._purpose, self.where)

    def _channel_closed(self, channel: Channel, reason: Exception) -> None:
        del channel
        connection = self._connection
        self._lose()
        if connection is None or not connection.is_open:
            return
        if not isinstance(reason, ChannelClosedByClient):
            logger.warning("the broker at %s closed a channel: %s", self.where, reason)
        connection.ioloop.call_later(self._backoff_s(), self._open_channel)

    def _ended(self, connection: Connection, reason: BaseException) -> None:
        if not self._closing.is_set():
            # Told once as a warning: a broker may be away for hours.
            level = logging.WARNING if self._failures == 0 or self.is_open else logging.INFO
            logger.log(
                level,
                "%s: no connection to the broker at %s, trying again: %s",
                self._purpose,
                self.where,
                _in_words(reason),
                extra={"action": "broker-away"},
            )
        connection.ioloop.stop()

    def _lose(self) -> None:
        was_open = self._usable.is_set()
        self._usable.clear()
        with self._lock:
            self._channel = None
        if was_open:
            self._lost_at = time.monotonic()
            if time.monotonic() - self._opened_at > STABLE_S:
                self._failures = 0
            self._on_lost()

    def _backoff_s(self) -> float:
        self._failures += 1
        longest = min(FIRST_BACKOFF_S * 2.0 ** min(self._failures, 10), LONGEST_BACKOFF_S)
        # Scattered, so that a fleet does not return to a fresh broker all at once.
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    def _do(self, work: Callable[[Channel], None]) -> None:
        channel = self._channel
        if channel is not None and channel.is_open:
            work(channel)

    def _shut(self) -> None:
        connection = self._connection
        if connection is None:
            return
        connection.ioloop.call_later(CLOSE_PATIENCE_S, lambda: self._abort(connection))
        try:
            connection.close()
        except ConnectionWrongStateError:
            self._abort(connection)

    def _abort(self, connection: Connection) -> None:
        """Drop a connection without waiting for the broker's consent."""
        if connection.is_closed:
            connection.ioloop.stop()
            return
        # There is no public way: an orderly close waits for the broker without a limit.
        connection._terminate_stream(TimeoutError("the broker does not answer"))  # noqa: SLF001
