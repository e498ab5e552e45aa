"""Asking RabbitMQ how a queue stands, without changing it."""

from concurrent.futures import Future
from dataclasses import dataclass

from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker
from pika.frame import Method

NOT_FOUND = 404


@dataclass(frozen=True)
class Standing:
    """How a queue stands.

    Attributes
    ----------
    ready : int
        Messages that wait; those on their way to a consumer are not counted.
    consumers : int
        Consumers that the broker knows of.
    """

    ready: int
    consumers: int


def inspect(channel: Channel, queue: str) -> "Future[Standing]":
    """Ask how a queue stands; one that does not exist is empty and has no consumers.

    To be called in the thread of the connection, which also sets the answer.

    Parameters
    ----------
    channel : pika.channel.Channel
        Any of the connection; asking for a queue that does not exist costs the channel, so
        another one is opened for it.
    queue : str
    """
    answer: Future[Standing] = Future()

    def opened(opened_channel: Channel) -> None:
        opened_channel.queue_declare(queue, passive=True, callback=declared)

    def declared(frame: Method) -> None:
        answer.set_result(Standing(frame.method.message_count, frame.method.consumer_count))
        asking.close()

    def closed(_: Channel, reason: Exception) -> None:
        if answer.done():
            return
        if isinstance(reason, ChannelClosedByBroker) and reason.reply_code == NOT_FOUND:
            answer.set_result(Standing(0, 0))
        else:
            answer.set_exception(reason)

    asking = channel.connection.channel(on_open_callback=opened)
    asking.add_on_close_callback(closed)
    return answer
