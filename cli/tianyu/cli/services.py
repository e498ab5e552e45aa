"""``tianyu manager`` and ``tianyu consumer``: the long-running services."""

import logging
from typing import Annotated

import typer

from tianyu.broker.connect import connect
from tianyu.cli.connect import open_database
from tianyu.cli.monitoring import answering, new_registry
from tianyu.cli.options import BrokerOption, DatabaseOption, SiteOption
from tianyu.cli.stopping import on_stop
from tianyu.consumer.consumer import Consumer, ConsumerConfig
from tianyu.consumer.health import ConsumerHealth
from tianyu.consumer.metrics import ConsumerCollector, ConsumerMetrics
from tianyu.manager.health import ManagerHealth
from tianyu.manager.manager import Manager, ManagerConfig
from tianyu.manager.metrics import ManagerCollector
from tianyu.schema.settings import load_settings

logger = logging.getLogger(__name__)


def manager_command(*, database: DatabaseOption = None, broker: BrokerOption = None) -> None:
    """Dispatch ready processes, take over from vanished workers; run as many as you like.

    Stops on SIGTERM or Ctrl-C.

    Example: tianyu manager --database mysql+pymysql://tianyu@db/tianyu --broker amqp://mq
    """
    settings = load_settings(database_url=database, broker_url=broker)
    with open_database(database, patiently=True) as opened:
        carrier = connect(settings.broker_address, opened)
        manager = Manager(
            opened, carrier, ManagerConfig(settings.lease_loss_budget, settings.poll_s)
        )
        on_stop(manager.stop)
        logger.info("manager started", extra={"action": "start"})
        registry = new_registry()
        registry.register(ManagerCollector(manager))
        place = (settings.metrics_host, settings.metrics_port)
        try:
            with answering(*place, ManagerHealth(manager), registry):
                manager.run()
        finally:
            carrier.close()


def consumer_command(
    *,
    site: SiteOption = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="G", help="Hardware group; may be repeated."),
    ] = None,
    processes: Annotated[
        int, typer.Option("--processes", min=1, metavar="N", help="Processes at a time.")
    ] = 1,
    database: DatabaseOption = None,
    broker: BrokerOption = None,
) -> None:
    """Claim and run processes of one site and group; run as many as you like.

    SIGTERM or Ctrl-C lets what runs finish; a second one gives it back unfinished.

    Example: tianyu consumer --site observatory --group cpu --processes 4
    """
    settings = load_settings(database_url=database, broker_url=broker, site=site)
    with open_database(database, patiently=True) as opened:
        carrier = connect(settings.broker_address, opened)
        registry = new_registry()
        consumer = Consumer(
            opened,
            carrier,
            ConsumerConfig(
                settings.site,
                groups=tuple(group or ["cpu"]),
                processes=processes,
                failure_budget=settings.failure_budget,
                poll_s=settings.poll_s,
                memory_limit_bytes=settings.memory_limit_bytes,
                disk_full_pause_s=settings.disk_full_pause_s,
            ),
            ConsumerMetrics(registry),
        )
        registry.register(ConsumerCollector(consumer))
        place = (settings.metrics_host, settings.metrics_port)
        on_stop(consumer.drain)
        try:
            with answering(*place, ConsumerHealth(consumer), registry):
                consumer.run()
        finally:
            carrier.close()
