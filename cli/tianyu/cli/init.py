"""``tianyu init``: create or migrate the database, its first site and its queues."""

from pathlib import Path
from typing import Annotated

import typer

from tianyu.broker.connect import connect
from tianyu.broker.interface import QueueAddress
from tianyu.cli.options import BrokerOption, DatabaseOption
from tianyu.schema import migrate
from tianyu.schema.database import Database
from tianyu.schema.directory import ensure_queue, ensure_site
from tianyu.schema.settings import load_settings


def init_command(
    *,
    site: Annotated[
        str | None, typer.Option("--site", metavar="S", help="Default: the setting site.")
    ] = None,
    root: Annotated[
        Path, typer.Option("--root", metavar="DIR", help="Root folder of the site's files.")
    ] = Path(),
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="G", help="Hardware group; may be repeated."),
    ] = None,
    database: DatabaseOption = None,
    broker: BrokerOption = None,
) -> None:
    """Create the database or bring its tables up to date, add a site, declare its queues.

    Doing it again is harmless; rows are kept.

    Example: tianyu init --database mysql+pymysql://tianyu@db/tianyu --broker amqp://mq --root /data
    """
    settings = load_settings(database_url=database, broker_url=broker, site=site)
    opened = Database(settings.database_url.get_secret_value())
    migrate.upgrade(opened)
    groups = group or ["cpu"]
    site_id = opened.retry(lambda c: ensure_site(c, settings.site, root, settings.lease_s))
    with opened.write() as connection:
        queues = [
            QueueAddress(ensure_queue(connection, site_id, g), settings.site, g) for g in groups
        ]
    carrier = connect(settings.broker_url.get_secret_value(), opened)
    try:
        # Asking for its depth declares a queue where it is missing.
        depths = {queue.group: carrier.depth(queue) for queue in queues}
    finally:
        carrier.close()
    typer.echo(f"database {opened}: schema {migrate.newest_revision()}")
    typer.echo(f"site {settings.site}: root {root.resolve()}")
    for name, depth in depths.items():
        typer.echo(f"queue of group {name}: {depth} waiting")
    opened.dispose()
