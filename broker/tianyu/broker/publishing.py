"""Sending hints to RabbitMQ: persistent, mandatory, confirmed in batches.

A confirm costs a write to the broker's disk. Waiting for each before sending the next would
limit a manager to about a thousand hints per second; so a whole batch is sent, and then its
confirms, of which one may cover many messages, are awaited together.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pika
from pika import spec
from pika.channel import Channel
from pika.frame import Method

from tianyu.broker.connection import OPEN_PATIENCE_S, Link
from tianyu.broker.interface import Trouble
from tianyu.broker.messages import CONTENT_TYPE, decode, encode
from tianyu.broker.parameters import parameters_of
from tianyu.broker.topology import WAKE_EXCHANGE, declare_queue, declare_wake_exchange

logger = logging.getLogger(__name__)

ROUNDS = 3
"""Tries of one call. A message is refused when its queue was deleted, and while another
connection is still declaring it; both are over after a fraction of a second."""

LOOK_S = 0.05
"""How often a waiting publisher looks whether the broker has blocked it."""

PROPERTIES = pika.BasicProperties(
    content_type=CONTENT_TYPE, delivery_mode=pika.DeliveryMode.Persistent.value
)
TRANSIENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Transient.value)


@dataclass
class _Batch:
    """What became of the messages of one call."""

    waiting: int
    confirmed: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def settle(self, outcome: list[int] | None, process_id: int) -> None:
        if outcome is not None:
            outcome.append(process_id)
        self.waiting -= 1
        if self.waiting == 0:
            self.done.set()


class Publisher:
    """The publishing side of one broker connection; its methods may be called by any thread."""

    def __init__(self, url: str) -> None:
        self._link = Link(parameters_of(url, "publisher"), "publisher", self._opened, self._lost)
        self._outstanding: dict[int, tuple[str, int, _Batch]] = {}
        self._returned: set[tuple[str, int]] = set()
        self._declared: set[str] = set()
        self._last_tag = 0
        self._wake_is_due = False
        self._link.start()

    @property
    def is_blocked(self) -> bool:
        """Whether the broker refuses messages for now."""
        return self._link.is_blocked

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._link.is_open

    @property
    def n_reconnects(self) -> int:
        """How often the channel was lost and opened again."""
        return max(self._link.times_opened - 1, 0)

    def trouble(self) -> Trouble | None:
        """Return why nothing can be sent, or None."""
        return self._link.trouble()

    def publish(self, queue: str, process_ids: Sequence[int], timeout_s: float) -> list[int]:
        """Send one hint per process; return the ids that the broker confirmed in time."""
        deadline = time.monotonic() + timeout_s
        confirmed: list[int] = []
        for _ in range(ROUNDS):
            batch = self._send_and_wait(queue, process_ids, deadline)
            confirmed += batch.confirmed
            process_ids = batch.refused
            if not process_ids:
                break
            self._renew(deadline)
        return confirmed

    def wake(self) -> None:
        """Wake everybody who waits, unless such a message is about to leave anyway."""
        if self._wake_is_due:
            return
        # Set before: the other thread may have sent it before this call returns.
        self._wake_is_due = True
        if not self._link.call(self._send_wake):
            self._wake_is_due = False

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    def _send_and_wait(self, queue: str, process_ids: Sequence[int], deadline: float) -> _Batch:
        batch = _Batch(len(process_ids))
        patience_s = min(OPEN_PATIENCE_S, deadline - time.monotonic())
        if not process_ids or not self._link.wait_open(patience_s):
            return batch
        opened = self._link.times_opened
        if not self._link.call(lambda channel: self._send(channel, queue, process_ids, batch)):
            return batch
        while not batch.done.wait(LOOK_S):
            is_same = self._link.is_open and self._link.times_opened == opened
            if not is_same or self.is_blocked or time.monotonic() > deadline:
                break
        return batch

    def _renew(self, deadline: float) -> None:
        # Declared anew through the same channel, RabbitMQ may take our messages for late ones
        # of the queue that was deleted: it confirms them and never delivers them.
        opened = self._link.times_opened
        self._link.call(lambda _: self._link.renew())
        while self._link.times_opened == opened and time.monotonic() < deadline:
            time.sleep(LOOK_S)

    # -- in the thread of the link ----------------------------------------------------------

    def _opened(self, channel: Channel) -> None:
        self._last_tag = 0
        self._wake_is_due = False
        self._declared.clear()
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm)
        declare_wake_exchange(channel)

    def _lost(self) -> None:
        for _, process_id, batch in self._outstanding.values():
            batch.settle(None, process_id)
        self._outstanding.clear()
        self._returned.clear()

    def _send(
        self, channel: Channel, queue: str, process_ids: Sequence[int], batch: _Batch
    ) -> None:
        if queue not in self._declared:
            declare_queue(channel, queue)
            self._declared.add(queue)
        for process_id in process_ids:
            self._last_tag += 1
            self._outstanding[self._last_tag] = (queue, process_id, batch)
            channel.basic_publish("", queue, encode(process_id), PROPERTIES, mandatory=True)

    def _send_wake(self, channel: Channel) -> None:
        self._wake_is_due = False
        # Counted, since the broker confirms this one like the others.
        self._last_tag += 1
        channel.basic_publish(WAKE_EXCHANGE, "", b"", TRANSIENT)

    def _on_return(
        self, _: Channel, method: spec.Basic.Return, __: pika.BasicProperties, body: bytes
    ) -> None:
        # A returned message is confirmed too, right afterwards: dealt with, though not kept.
        self._returned.add((method.routing_key, decode(body)))

    def _on_confirm(self, frame: Method) -> None:
        answer = frame.method
        accepted = isinstance(answer, spec.Basic.Ack)
        for tag in self._tags(answer.delivery_tag, multiple=answer.multiple):
            queue, process_id, batch = self._outstanding.pop(tag)
            if (queue, process_id) in self._returned:
                self._returned.discard((queue, process_id))
                batch.settle(batch.refused, process_id)
            else:
                batch.settle(batch.confirmed if accepted else batch.refused, process_id)

    def _tags(self, tag: int, *, multiple: bool) -> list[int]:
        if not multiple:
            return [tag] if tag in self._outstanding else []
        tags = []
        # In the order of sending, so that the first one beyond ends the search.
        for known in self._outstanding:
            if known > tag:
                break
            tags.append(known)
        return tags
