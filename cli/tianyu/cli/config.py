"""``tianyu config``: the settings and where they come from."""

from rich.text import Text

from tianyu.cli.answers import print_json
from tianyu.cli.console import new_table, standard_output
from tianyu.cli.options import DatabaseOption, JsonOption
from tianyu.cli.queries.configuration import read_settings
from tianyu.schema.settings import config_file


def config_command(database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Show the settings and where they come from.

    An argument comes before the environment (TIANYU_DATABASE_URL and so on), that before the
    TOML file (TIANYU_CONFIG, else tianyu.toml in the working folder), that before the default.
    Passwords are hidden.

    Example: tianyu config --json
    """
    settings = read_settings(database)
    if as_json:
        print_json({"settings": settings})
        return
    table = new_table()
    for column in ("setting", "value", "from", "meaning"):
        table.add_column(column, overflow="fold")
    for setting in settings:
        source = Text(setting.source, style="dim" if setting.source == "default" else "")
        table.add_row(setting.name, Text(str(setting.value)), source, Text(setting.description))
    standard_output().print(table)
    if not config_file().is_file():
        standard_output().print(Text(f"There is no file {config_file()}.", style="dim"))
