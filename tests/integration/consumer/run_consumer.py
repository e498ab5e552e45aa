"""A consumer as a program of its own: ``python -m tests.integration.consumer.run_consumer``."""

import json
import logging
import signal
import sys
from typing import Any

from tianyu.broker.embedded import EmbeddedBroker
from tianyu.consumer.consumer import Consumer, ConsumerConfig
from tianyu.schema.database import Database


def main(url: str, options: dict[str, Any]) -> None:
    """Run a consumer until signals end it."""
    logging.basicConfig(level=logging.INFO)
    database = Database(url)
    consumer = Consumer(database, EmbeddedBroker(database), ConsumerConfig(**options))
    signal.signal(signal.SIGTERM, lambda _number, _frame: consumer.drain())
    consumer.run()
    database.dispose()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
