"""``tianyu steps``: the registered steps, and the parameters of one."""

from typing import Annotated

import typer
from rich.text import Text

from tianyu.cli.answers import print_json
from tianyu.cli.console import new_table, standard_output
from tianyu.cli.options import DatabaseOption, JsonOption
from tianyu.cli.queries.steps import list_steps, read_parameters, summarise_step
from tianyu.cli.words import duration
from tianyu.pipelines.step import find_step


def steps_command(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Step whose parameters are shown.")
    ] = None,
    database: DatabaseOption = None,  # noqa: ARG001 - accepted like everywhere, steps are code
    as_json: JsonOption = False,
) -> None:
    """List the steps, or the parameters of one.

    Example: tianyu steps extract_flux
    """
    if name is not None:
        _show_step(name, as_json)
    elif as_json:
        print_json({"steps": list_steps()})
    else:
        _print_steps()


def _print_steps() -> None:
    table = new_table()
    for column in ("step", "what it does", "group", "reads", "writes"):
        table.add_column(column)
    for step in list_steps():
        reads, writes = ", ".join(step.reads), ", ".join(step.writes)
        table.add_row(step.name, Text(step.summary), step.group, reads, writes)
    standard_output().print(table)


def _show_step(name: str, as_json: bool) -> None:
    parameters = read_parameters(name)
    step = summarise_step(find_step(name))
    if as_json:
        print_json({"step": step, "parameters": parameters})
        return
    output = standard_output()
    output.print(Text.assemble((step.name, "bold"), f": {step.summary}"))
    output.print(
        f"group {step.group}, reads {', '.join(step.reads) or 'nothing'}, "
        f"writes {', '.join(step.writes) or 'nothing'}, stopped after "
        f"{duration(step.time_limit_s)}" + ("" if step.repeatable else ", never repeated")
    )
    table = new_table()
    for column in ("parameter", "type", "default", "limits", "meaning"):
        table.add_column(column)
    for p in parameters:
        default = Text("must be given", style="dim") if p.default is None else Text(p.default)
        table.add_row(p.name, Text(p.type), default, p.limits, Text(p.description))
    output.print(table)
