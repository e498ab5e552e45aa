"""``tianyu init``: create or migrate the database, its first site and its queues."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Connection

from tianyu.broker.connect import connect
from tianyu.broker.interface import Broker, QueueAddress
from tianyu.cli.connect import explaining
from tianyu.cli.options import BrokerOption, DatabaseOption, SiteOption
from tianyu.schema import dialects, migrate
from tianyu.schema.database import Database
from tianyu.schema.directory import ensure_queue, ensure_site, find_site
from tianyu.schema.errors import NotFoundError
from tianyu.schema.settings import Settings, load_settings


def init_command(
    *,
    site: SiteOption = None,
    root: Annotated[
        Path | None,
        typer.Option(
            "--root",
            metavar="DIR",
            help="Root folder of the site's files. Default: unchanged; for a new site, this one.",
        ),
    ] = None,
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
    opened = Database(settings.database_address)
    try:
        with explaining(opened):
            dialects.create_database(opened.url)
            migrate.upgrade(opened)
            place, queues = opened.retry(lambda c: _add_site(c, settings, root, group or ["cpu"]))
        typer.echo(f"database {opened}: schema {migrate.newest_revision()}")
        typer.echo(f"site {settings.site}: root {place}")
        _declare(connect(settings.broker_address, opened), queues)
    finally:
        opened.dispose()


def _add_site(
    connection: Connection, settings: Settings, root: Path | None, groups: Sequence[str]
) -> tuple[Path, list[QueueAddress]]:
    """Make what is missing; return the site's root and its queues."""
    try:
        _, known, _ = find_site(connection, settings.site)
    except NotFoundError:
        known = Path.cwd()
    # Doing it again from another folder must not move a site.
    place = (root or known).resolve()
    site_id = ensure_site(connection, settings.site, place, settings.lease_s)
    queues = [QueueAddress(ensure_queue(connection, site_id, g), settings.site, g) for g in groups]
    return place, queues


def _declare(broker: Broker, queues: Sequence[QueueAddress]) -> None:
    """Let the broker make the queues it lacks, and say how full they are."""
    try:
        for queue in queues:
            # Asking for its depth declares a queue where it is missing.
            typer.echo(f"queue of group {queue.group}: {broker.depth(queue)} waiting")
    finally:
        broker.close()
