"""The queues, exchanges and arguments at RabbitMQ, declared in one place.

Every declaration is idempotent and sent without waiting for an answer: RabbitMQ works
through a channel in order, and closes it if a declaration contradicts what exists.
"""

from typing import Final

from pika.channel import Channel

DEAD_EXCHANGE: Final = "tianyu.dead"
WAKE_EXCHANGE: Final = "tianyu.wake"

DELIVERY_LIMIT: Final = 100
"""Deliveries of one message before it is a dead letter.

A hint comes back when a consumer dies or has no child for it, which is rare and harmless;
the limit only keeps a message from circling for ever. RabbitMQ 4 would stop at 20.
"""

DEAD_LETTERS_KEPT: Final = 10_000
"""Dead letters are for people to read; a flood of them must not fill the broker's disk."""


def dead_letters(queue: str) -> str:
    """Return the name of the queue that keeps what could not be read from another.

    Examples
    --------
    >>> dead_letters("tianyu.xinglong.cpu")
    'dead:tianyu.xinglong.cpu'
    """
    # A prefix that no queue of hints can have, whatever sites and groups are called.
    return f"dead:{queue}"


def declare_queue(channel: Channel, queue: str) -> None:
    """Declare a durable quorum queue, and the one for its dead letters.

    No priorities: quorum queues refuse ``x-max-priority``, and the order of dispatch already
    follows the database.
    """
    dead = dead_letters(queue)
    channel.exchange_declare(DEAD_EXCHANGE, exchange_type="direct", durable=True)
    channel.queue_declare(
        dead,
        durable=True,
        arguments={"x-queue-type": "quorum", "x-max-length": DEAD_LETTERS_KEPT},
    )
    channel.queue_bind(dead, DEAD_EXCHANGE, routing_key=queue)
    channel.queue_declare(
        queue,
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": DEAD_EXCHANGE,
            "x-dead-letter-routing-key": queue,
            "x-delivery-limit": DELIVERY_LIMIT,
        },
    )


def declare_wake_exchange(channel: Channel) -> None:
    """Declare the exchange through which everybody who waits is woken."""
    channel.exchange_declare(WAKE_EXCHANGE, exchange_type="fanout", durable=True)


def declare_alarm_clock(channel: Channel, name: str) -> None:
    """Declare the queue of one who waits; it ends with its connection and holds one wake."""
    declare_wake_exchange(channel)
    channel.queue_declare(name, exclusive=True, auto_delete=True, arguments={"x-max-length": 1})
    channel.queue_bind(name, WAKE_EXCHANGE)
