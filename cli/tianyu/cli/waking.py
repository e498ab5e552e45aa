"""Telling workers that there is something new to do."""

from tianyu.broker.connect import connect
from tianyu.schema.database import Database
from tianyu.schema.settings import Settings


def wake_workers(database: Database, settings: Settings) -> None:
    """Announce that processes have been published; without it they are found at the next look."""
    broker = connect(settings.broker_address, database)
    try:
        broker.wake()
    finally:
        broker.close()
