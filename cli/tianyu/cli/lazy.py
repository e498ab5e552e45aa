"""A group of commands that imports a command only when it is run.

``tianyu --help`` and completion in a shell need names and summaries, not the database, the
arrays and the plots behind them: imported for every call they would cost a second.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True)
class CommandEntry:
    """Where one command is found.

    Attributes
    ----------
    name : str
        As typed.
    place : str
        ``module:attribute``; a function, or a :class:`typer.Typer` of subcommands.
    summary : str
        The first line of its help.
    """

    name: str
    place: str
    summary: str


class LazyGroup(TyperGroup):
    """A group whose commands are named in ``entries``, shown in that order."""

    entries: ClassVar[tuple[CommandEntry, ...]] = ()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for entry in self.entries:
            # A stand-in that is listed and completed, but never run.
            self.add_command(TyperCommand(entry.name, help=entry.summary), entry.name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command by its name and import it."""
        name, stand_in, rest = super().resolve_command(ctx, args)
        if stand_in is None:
            return name, stand_in, rest
        entry = next(entry for entry in self.entries if entry.name == name)
        return name, load_command(entry), rest


def load_command(entry: CommandEntry) -> Any:
    """Import a command and return it as its parser."""
    module, _, attribute = entry.place.partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    app.command(entry.name)(found)
    return typer.main.get_command(app)
