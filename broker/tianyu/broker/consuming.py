"""Receiving hints from RabbitMQ.

Hints are fetched ahead, one per child, so that an idle child finds its next process without
a round trip. The other side of this: a consumer whose children are all busy with long work
would sit on hints that another one could follow. So hints that nobody asked for during a
few seconds are given back, and the consumer takes none until it is asked again.
"""

import itertools
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import pika
from pika import spec
from pika.channel import Channel
from pika.exceptions import AMQPError

from tianyu.broker.connection import OPEN_PATIENCE_S, Link
from tianyu.broker.errors import BrokerUnreachableError, MessageError
from tianyu.broker.inspecting import Standing, inspect
from tianyu.broker.interface import Hint, QueueAddress, Trouble
from tianyu.broker.messages import decode
from tianyu.broker.parameters import parameters_of
from tianyu.broker.topology import declare_alarm_clock, declare_queue

logger = logging.getLogger(__name__)

HOLD_S = 5.0
"""A consumer with an idle child asks at least every half second."""

RESUME_PATIENCE_S = 0.2
"""The first hints after a pause are on their way for a few milliseconds."""

WATCH_S = 10.0
"""A subscription through which nothing came for so long is looked at."""


@dataclass(frozen=True)
class _Delivery:
    """Delivery tags count from one in every channel, so the channel is part of the tag."""

    generation: int
    tag: int


class Subscriber:
    """The consuming side of one broker connection; its methods may be called by any thread.

    Parameters
    ----------
    url : str
        Of the broker.
    hold_s : float
        Give back hints that nobody asked for during this time, seconds.
    """

    def __init__(self, url: str, hold_s: float = HOLD_S) -> None:
        self._hold_s = hold_s
        self._queues: tuple[QueueAddress, ...] = ()
        self._prefetch = 1
        self._arrived = threading.Condition()
        self._hints: deque[Hint] = deque()
        self._wanted_at = time.monotonic()
        self._heard_at = time.monotonic()
        self._paused = False
        self._woken = False
        self._alarm_clock = ""
        self._generation = 0
        self._consumers: dict[str, int] = {}
        self._numbers = itertools.count(1)
        self._link = Link(parameters_of(url, "consumer"), "consumer", self._opened, self._lost)
        self._link.start()

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._link.is_open

    @property
    def n_reconnects(self) -> int:
        """How often the channel was lost and opened again."""
        return max(self._link.times_opened - 1, 0)

    def trouble(self) -> Trouble | None:
        """Return why no hint can arrive, or None."""
        trouble = self._link.trouble()
        if trouble is not None:
            return trouble
        if self._queues and not self._consumers and not self._paused:
            # Read without the lock of the link's thread: between two of its lines this may be
            # seen for a moment, which is why troubles have a length.
            return Trouble("connected to the broker, but subscribed to nothing", 0.0)
        return None

    def subscribe(self, queues: Sequence[QueueAddress], prefetch: int) -> None:
        """Receive the hints of these queues from now on."""
        self._queues, self._prefetch = tuple(queues), max(1, prefetch)
        self._link.call(self._resubscribe)

    def receive(self, timeout_s: float) -> Hint | None:
        """Return the next hint, or None when none came in time."""
        with self._arrived:
            self._wanted_at = time.monotonic()
            if self._paused and self._link.call(self._consume):
                self._paused = False
                timeout_s = max(timeout_s, RESUME_PATIENCE_S)
            self._arrived.wait_for(lambda: self._hints or self._woken, timeout_s)
            if self._hints:
                return self._hints.popleft()
            self._woken = False
            return None

    def wait(self, timeout_s: float) -> bool:
        """Wait until somebody at this broker calls for waking."""
        if not self._alarm_clock:
            self._alarm_clock = f"tianyu.wake.{uuid.uuid4()}"
            self._link.call(self._listen)
        with self._arrived:
            woken = self._arrived.wait_for(lambda: self._woken, timeout_s)
            self._woken = False
            return woken

    def wake(self) -> None:
        """Let :meth:`receive` and :meth:`wait` return early."""
        with self._arrived:
            self._woken = True
            self._arrived.notify_all()

    def acknowledge(self, hint: Hint) -> None:
        """Tell the broker that a hint has been dealt with; late ones are left alone."""
        delivery = hint.tag
        if isinstance(delivery, _Delivery):
            self._link.call(lambda channel: self._ack(channel, delivery))

    def depth(self, queue: str, timeout_s: float) -> int:
        """Return how many hints wait in a queue; none in one that does not exist."""
        asked: Future[Future[Standing]] = Future()
        deadline = time.monotonic() + timeout_s
        if not self._link.wait_open(min(timeout_s, OPEN_PATIENCE_S)) or not self._link.call(
            lambda channel: asked.set_result(inspect(channel, queue))
        ):
            raise BrokerUnreachableError(f"no connection to the broker at {self._link.where}")
        try:
            answer = asked.result(deadline - time.monotonic())
            return answer.result(deadline - time.monotonic()).ready
        except (TimeoutError, AMQPError) as error:
            raise BrokerUnreachableError(
                f"the broker at {self._link.where} does not tell the depth of {queue}: "
                f"{str(error) or 'no answer'}"
            ) from error

    def close(self) -> None:
        """Close the connection; the broker delivers unacknowledged hints to others."""
        self._link.close()
        self.wake()

    # -- in the thread of the link ----------------------------------------------------------

    def _opened(self, channel: Channel) -> None:
        self._generation += 1
        generation = self._generation
        channel.add_on_cancel_callback(lambda _: self._queue_deleted(generation))
        self._resubscribe(channel)
        if self._alarm_clock:
            self._listen(channel)
        self._heard_at = time.monotonic()
        self._link.call_later(self._hold_s / 2, lambda c: self._look_after(c, generation))

    def _lost(self) -> None:
        # Their channel is gone, so the broker gives them to somebody, perhaps to us again.
        with self._arrived:
            self._hints.clear()
        self._consumers.clear()

    def _queue_deleted(self, generation: int) -> None:
        if generation == self._generation and self._link.is_open:
            logger.warning("a queue is not served by the broker any more; declaring it again")
            self._link.renew()

    def _resubscribe(self, channel: Channel) -> None:
        self._cancel(channel)
        for queue in self._queues:
            declare_queue(channel, queue.name)
        if self._queues:
            channel.basic_qos(prefetch_count=self._prefetch)
        with self._arrived:
            self._paused = False
            # As good as asked: otherwise the first hints might go back before anybody could.
            self._wanted_at = time.monotonic()
        self._consume(channel)

    def _cancel(self, channel: Channel) -> None:
        # What is still on its way to a cancelled consumer goes back by itself.
        for tag in self._consumers:
            channel.basic_cancel(tag)
        self._consumers.clear()

    def _consume(self, channel: Channel) -> None:
        if self._consumers:
            return
        for queue in self._queues:
            tag = f"{queue.name}#{next(self._numbers)}"
            self._consumers[tag] = queue.id
            channel.basic_consume(queue.name, self._on_message, consumer_tag=tag)

    def _listen(self, channel: Channel) -> None:
        declare_alarm_clock(channel, self._alarm_clock)
        channel.basic_consume(
            self._alarm_clock,
            lambda *_: self.wake(),
            auto_ack=True,
            exclusive=True,
            consumer_tag=f"wake#{next(self._numbers)}",
        )

    def _on_message(
        self, channel: Channel, method: spec.Basic.Deliver, _: pika.BasicProperties, body: bytes
    ) -> None:
        self._heard_at = time.monotonic()
        try:
            process_id = decode(body)
        except MessageError as error:
            logger.warning("moved a message to the dead letters: %s", error)
            channel.basic_reject(method.delivery_tag, requeue=False)
            return
        tag = _Delivery(self._generation, method.delivery_tag)
        with self._arrived:
            self._hints.append(Hint(process_id, self._consumers[method.consumer_tag], tag))
            self._arrived.notify()

    def _ack(self, channel: Channel, delivery: _Delivery) -> None:
        # An unknown tag would cost the channel.
        if delivery.generation == self._generation:
            channel.basic_ack(delivery.tag)

    def _look_after(self, channel: Channel, generation: int) -> None:
        """Give back what nobody asks for, and doubt silence, as long as this channel lives."""
        if generation != self._generation:
            return
        self._give_back_unwanted(channel)
        if self._consumers and time.monotonic() - self._heard_at > WATCH_S:
            self._heard_at = time.monotonic()
            for queue in self._queues:
                standing = inspect(channel, queue.name)
                standing.add_done_callback(lambda answer: self._doubt(answer, generation))
        self._link.call_later(self._hold_s / 2, lambda c: self._look_after(c, generation))

    def _doubt(self, answer: "Future[Standing]", generation: int) -> None:
        # When a queue is deleted and declared again at once, RabbitMQ may fail to tell those
        # who consumed the old one; they would wait for ever.
        if answer.exception() is None and answer.result().consumers == 0 and self._consumers:
            self._queue_deleted(generation)

    def _give_back_unwanted(self, channel: Channel) -> None:
        with self._arrived:
            idle_s = time.monotonic() - self._wanted_at
            unwanted = list(self._hints) if idle_s > self._hold_s else []
            if unwanted:
                self._hints.clear()
                self._paused = True
        if not unwanted:
            return
        logger.info("all children are busy; giving %d hints back", len(unwanted))
        self._cancel(channel)
        for hint in unwanted:
            if isinstance(hint.tag, _Delivery):
                channel.basic_nack(hint.tag.tag, requeue=True)
