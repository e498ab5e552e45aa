"""A consumer as a program of its own: ``python -m tests.integration.consumer.run_consumer``."""

import json
import logging
import signal
import sys
from typing import Any

from tianyu.broker.embedded import EmbeddedBroker
from tianyu.consumer import consumer as consumer_module
from tianyu.consumer.consumer import Consumer, ConsumerConfig
from tianyu.pipelines.step import Step, find_step
from tianyu.schema.database import Database


def only_ours() -> dict[str, Step[Any]]:
    """Return the steps of the tests; those of the package take seconds to load."""
    names = ("noop", "sleep", "write_file", "write_file_deaf")
    return {name: find_step(name) for name in names}


def main(url: str, options: dict[str, Any]) -> None:
    """Run a consumer until signals end it."""
    logging.basicConfig(level=logging.INFO)
    consumer_module.all_steps = only_ours
    database = Database(url)
    consumer = Consumer(database, EmbeddedBroker(database), ConsumerConfig(**options))
    signal.signal(signal.SIGTERM, lambda _number, _frame: consumer.drain())
    consumer.run()
    database.dispose()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
