"""``tianyu site``: file systems and network addresses that processes run at."""

from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import select, update

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.console import new_table, standard_output
from tianyu.cli.options import DatabaseOption, JsonOption
from tianyu.schema.directory import ensure_queue, ensure_site
from tianyu.schema.settings import load_settings
from tianyu.schema.tables import Site

app = typer.Typer(
    help="Add and list sites.\n\nExample: tianyu site list",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the site.")],
    root: Annotated[Path, typer.Option("--root", metavar="DIR", help="Its root folder.")],
    *,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="G", help="Hardware group; may be repeated."),
    ] = None,
    lease: Annotated[
        float | None,
        typer.Option("--lease", min=1.0, metavar="S", help="Lease length; longer on slow links."),
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", metavar="URL", help="Of its file service.")
    ] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a site, or change the root, lease and address of one that is there.

    Example: tianyu site add observatory --root /data/tianyu --group cpu --group camera
    """
    lease_s = lease or load_settings().lease_s
    with open_database(database) as opened:
        site_id = opened.retry(lambda c: ensure_site(c, name, root, lease_s))
        with opened.write() as connection:
            values: dict[str, object] = {"lease_s": lease_s} if lease else {}
            values |= {"address": address} if address else {}
            if values:
                connection.execute(update(Site).where(Site.id == site_id).values(**values))
            for hardware in group or ["cpu"]:
                ensure_queue(connection, site_id, hardware)
    if as_json:
        print_json({"site": name, "id": site_id, "root": str(root.resolve())})
    else:
        typer.echo(f"site {name}: root {root.resolve()}, groups {', '.join(group or ['cpu'])}")


@app.command("list")
def list_(database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """List the sites.

    Example: tianyu site list --json
    """
    query = select(Site.name, Site.root, Site.address, Site.lease_s).order_by(Site.name)
    with open_database(database) as opened, opened.read() as connection:
        sites = [dict(row) for row in connection.execute(query).mappings()]
    if as_json:
        print_json({"sites": sites})
        return
    table = new_table("Sites")
    for column in ("name", "root", "address", "lease"):
        table.add_column(column)
    for site in sites:
        table.add_row(site["name"], site["root"], site["address"] or "", f"{site['lease_s']:g} s")
    standard_output().print(table)
