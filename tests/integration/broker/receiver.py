"""A consumer in a process of its own, to be killed: receives one hint and never acknowledges.

Run as ``python receiver.py URL SITE GROUP``.
"""

import sys
import time

from tianyu.broker.interface import QueueAddress
from tianyu.broker.rabbitmq import RabbitBroker


def main() -> None:
    url, site, group = sys.argv[1:]
    broker = RabbitBroker(url)
    broker.subscribe([QueueAddress(1, site, group)])
    while (hint := broker.receive(1.0)) is None:
        continue
    print(hint.process_id, flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main()
