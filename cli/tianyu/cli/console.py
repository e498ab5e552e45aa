"""Where tables and lines for people go."""

import sys

from rich import box
from rich.console import Console
from rich.table import Table

PIPED_WIDTH = 180
"""Columns when the output is no terminal: wide enough that no table is cut."""


def standard_output() -> Console:
    """Return a console on standard output, as it stands now."""
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    return Console(file=sys.stdout, highlight=False, width=width)


def new_table(title: str | None = None) -> Table:
    """Return an empty table in the style of the program."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        header_style="bold",
    )
