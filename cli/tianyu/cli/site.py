"""``tianyu site``: file systems and network addresses that processes run at."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from sqlalchemy import Connection, select, update

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.console import new_table, standard_output
from tianyu.cli.options import DatabaseOption, JsonOption
from tianyu.schema.directory import ensure_queue, ensure_site
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.settings import load_settings
from tianyu.schema.tables import HardwareGroup, Queue, Site

app = typer.Typer(
    help="Add and list sites.\n\nExample: tianyu site list",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the site.")],
    *,
    root: Annotated[
        Path | None,
        typer.Option("--root", metavar="DIR", help="Its root folder; a new site needs one."),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="G", help="Hardware group; may be repeated."),
    ] = None,
    lease: Annotated[
        float | None,
        typer.Option("--lease", min=1.0, metavar="S", help="Lease length; longer on slow links."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address", metavar="URL", help="Of its file service, as other sites reach it."
        ),
    ] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a site, or change the root, lease and address of one that is there.

    Example: tianyu site add observatory --root /data/tianyu --address https://10.0.0.2:8766
    """
    if address is not None:
        check_address(address)

    def work(connection: Connection) -> _Site:
        site_id = ensure_site(connection, name, _root_of(connection, name, root), lease_s)
        values: dict[str, object] = {"lease_s": lease_s} if lease else {}
        values |= {"address": address} if address else {}
        if values:
            connection.execute(update(Site).where(Site.id == site_id).values(**values))
        known = {site.name: site for site in _sites(connection)}
        for hardware in group or ([] if known[name].groups else ["cpu"]):
            ensure_queue(connection, site_id, hardware)
        return next(site for site in _sites(connection) if site.name == name)

    lease_s = lease or load_settings().lease_s
    with open_database(database) as opened:
        site = opened.retry(work)
    if as_json:
        print_json({"site": site})
    else:
        typer.echo(f"site {name}: root {site.root}, groups {', '.join(site.groups)}")


@app.command("list")
def list_(database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """List the sites.

    Example: tianyu site list --json
    """
    with open_database(database) as opened, opened.read() as connection:
        sites = _sites(connection)
    if as_json:
        print_json({"sites": sites})
        return
    table = new_table("Sites")
    for column in ("name", "root", "groups", "lease", "address"):
        table.add_column(column)
    for site in sites:
        groups = ", ".join(site.groups)
        table.add_row(site.name, site.root, groups, f"{site.lease_s:g} s", site.address or "")
    standard_output().print(table)


@dataclass(frozen=True)
class _Site:
    """One site as it is shown."""

    name: str
    root: str
    groups: tuple[str, ...]
    lease_s: float
    address: str | None


def _sites(connection: Connection) -> list[_Site]:
    query = (
        select(Queue.site_id, HardwareGroup.name)
        .join(HardwareGroup, HardwareGroup.id == Queue.group_id)
        .order_by(HardwareGroup.name)
    )
    groups = defaultdict(list)
    for site_id, group in connection.execute(query):
        groups[site_id].append(group)
    return [
        _Site(row.name, row.root, tuple(groups[row.id]), row.lease_s, row.address)
        for row in connection.execute(select(Site.__table__).order_by(Site.name))
    ]


def check_address(url: str) -> None:
    """Check that a file service can be reached by a URL.

    Raises
    ------
    ConfigurationError
        If it is no URL of a web service, or holds a password.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(
            f"the address {url!r} is no URL of a file service; give https://HOST:PORT or "
            "http://HOST:PORT"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError(
            f"the address of a file service on {parts.hostname} holds more than host, port and "
            "path; its token is the setting file_token"
        )


def _root_of(connection: Connection, name: str, root: Path | None) -> Path:
    """Return the root that was given, or else the one that the site has."""
    if root is not None:
        return root
    known = connection.scalar(select(Site.root).where(Site.name == name))
    if known is None:
        raise ConfigurationError(f"the new site {name!r} needs a root folder; give --root DIR")
    return Path(known)
