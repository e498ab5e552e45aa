"""``tianyu instrument``: cameras on telescopes, and what their headers do not say."""

from typing import Annotated

import typer
from sqlalchemy import Connection, select

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.console import new_table, standard_output
from tianyu.cli.options import DatabaseOption, JsonOption
from tianyu.publisher.collisions import retry_collisions
from tianyu.publisher.survey import InstrumentFacts, ensure_instrument, set_instrument_facts
from tianyu.schema.directory import find_site
from tianyu.schema.settings import load_settings
from tianyu.schema.tables import Instrument

app = typer.Typer(
    help="Add and list instruments.\n\nExample: tianyu instrument list",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)


@app.command("add")
def add(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Telescope and camera, as the headers name them.")
    ],
    *,
    site: Annotated[
        str | None, typer.Option("--site", metavar="S", help="Where its files arrive.")
    ] = None,
    lat: Annotated[float | None, typer.Option("--lat", metavar="DEG", help="North.")] = None,
    lon: Annotated[
        float | None, typer.Option("--lon", metavar="DEG", help="EAST positive.")
    ] = None,
    alt: Annotated[float | None, typer.Option("--alt", metavar="M", help="Altitude.")] = None,
    aperture: Annotated[
        float | None, typer.Option("--aperture", metavar="M", help="Diameter of the telescope.")
    ] = None,
    gain: Annotated[float | None, typer.Option("--gain", metavar="E/ADU", help="Gain.")] = None,
    read_noise: Annotated[
        float | None, typer.Option("--read-noise", metavar="E", help="Read-out noise, rms.")
    ] = None,
    saturation: Annotated[
        float | None, typer.Option("--saturation", metavar="ADU", help="Raw saturation level.")
    ] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add an instrument, or state facts of one; they outrank the headers.

    Example: tianyu instrument add "Cecilia Main" --lat 31.68 --lon -110.88 --alt 2000
    """
    facts = InstrumentFacts(
        latitude_deg=lat,
        longitude_deg=lon,
        altitude_m=alt,
        aperture_m=aperture,
        gain_e_per_adu=gain,
        read_noise_e=read_noise,
        saturation_adu=saturation,
    )

    def work(connection: Connection) -> int:
        site_id, _, _ = find_site(connection, site or load_settings().site)
        instrument_id = ensure_instrument(connection, name, site_id, facts)
        set_instrument_facts(connection, instrument_id, facts)
        return instrument_id

    with open_database(database) as opened:
        instrument_id = retry_collisions(opened, work)
    if as_json:
        print_json({"instrument": name, "id": instrument_id})
    else:
        typer.echo(f"instrument {name} is number {instrument_id}")


_COLUMNS = (
    Instrument.name,
    Instrument.latitude_deg,
    Instrument.longitude_deg,
    Instrument.altitude_m,
    Instrument.aperture_m,
    Instrument.gain_e_per_adu,
    Instrument.read_noise_e,
    Instrument.saturation_adu,
)


@app.command("list")
def list_(database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """List the instruments and what is known of them.

    Example: tianyu instrument list
    """
    query = select(*_COLUMNS).order_by(Instrument.name)
    with open_database(database) as opened, opened.read() as connection:
        instruments = [dict(row) for row in connection.execute(query).mappings()]
    if as_json:
        print_json({"instruments": instruments})
        return
    table = new_table("Instruments")
    for column in _COLUMNS:
        table.add_column(column.key)
    for instrument in instruments:
        values = [instrument[column.key] for column in _COLUMNS]
        table.add_row(*("" if value is None else str(value) for value in values))
    standard_output().print(table)
