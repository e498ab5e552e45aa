"""Reading the messages that consumers could not use; for people, not for the engine."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, ChannelClosedByBroker

from tianyu.broker.errors import BrokerUnreachableError, MessageError
from tianyu.broker.inspecting import NOT_FOUND
from tianyu.broker.interface import QueueAddress
from tianyu.broker.messages import decode
from tianyu.broker.parameters import parameters_of
from tianyu.broker.topology import dead_letters

LIMIT = 1000
"""Most letters of one queue that are read at a time."""


@dataclass(frozen=True)
class DeadLetter:
    """One message that could not be used.

    Attributes
    ----------
    queue : QueueAddress
        Where it was.
    body : bytes
    reason : str
        The broker's word: rejected, delivery_limit, maxlen, expired; or unknown.
    since : datetime or None
        When it became one, UTC.
    process_id : int or None
        What it hints at, where it can be read after all.
    complaint : str or None
        Why it cannot be read.
    """

    queue: QueueAddress
    body: bytes
    reason: str
    since: datetime | None
    process_id: int | None
    complaint: str | None


@contextmanager
def reading(
    url: str, queues: Sequence[QueueAddress], *, remove: bool = False, limit: int = LIMIT
) -> Iterator[list[DeadLetter]]:
    """Read the dead letters of queues; they stay unless they are to be removed.

    They are removed when the block has ended without an error: what nobody has seen is kept.
    Each look counts as a delivery, and RabbitMQ 4 drops what was delivered twenty times.

    Parameters
    ----------
    url : str
        Of RabbitMQ.
    queues : sequence of QueueAddress
    remove : bool
    limit : int
        Most letters per queue.

    Raises
    ------
    BrokerUnreachableError
        If the broker does not answer.
    """
    try:
        with pika.BlockingConnection(parameters_of(url, "dead letters")) as connection:
            found: list[tuple[int, DeadLetter]] = []
            channel = connection.channel()
            for queue in queues:
                if _exists(connection, queue):
                    found += _get(channel, queue, limit)
            yield [letter for _, letter in found]
            for tag, _ in found if remove else ():
                channel.basic_ack(tag)
    except (AMQPError, OSError) as error:
        raise BrokerUnreachableError(
            f"the broker does not tell its dead letters: {str(error) or type(error).__name__}"
        ) from error


def _exists(connection: pika.BlockingConnection, queue: QueueAddress) -> bool:
    # Asking for a queue that is not there costs the channel.
    asking = connection.channel()
    try:
        asking.queue_declare(dead_letters(queue.name), passive=True)
    except ChannelClosedByBroker as error:
        if error.reply_code == NOT_FOUND:
            return False
        raise
    asking.close()
    return True


def _get(
    channel: BlockingChannel, queue: QueueAddress, limit: int
) -> Iterator[tuple[int, DeadLetter]]:
    for _ in range(limit):
        method, properties, body = channel.basic_get(dead_letters(queue.name))
        if method is None:
            return
        yield method.delivery_tag, _letter(queue, body, properties.headers or {})


def _letter(queue: QueueAddress, body: bytes, headers: dict[str, Any]) -> DeadLetter:
    deaths = headers.get("x-death") or [{}]
    death = deaths[0] if isinstance(deaths[0], dict) else {}
    moment = death.get("time")
    process_id, complaint = None, None
    try:
        process_id = decode(body)
    except MessageError as error:
        complaint = str(error)
    return DeadLetter(
        queue=queue,
        body=body,
        reason=str(death.get("reason") or headers.get("x-first-death-reason") or "unknown"),
        # AMQP's times are UTC, and the library gives them without a zone.
        since=moment.replace(tzinfo=UTC) if isinstance(moment, datetime) else None,
        process_id=process_id,
        complaint=complaint,
    )
