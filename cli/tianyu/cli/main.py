"""The ``tianyu`` command: the list of its commands, and what all of them share."""

from typing import Annotated, Any, ClassVar

import typer

from tianyu.cli.errors import FORESEEN, exit_code, report
from tianyu.cli.lazy import CommandEntry, LazyGroup
from tianyu.cli.logs import LogLevel, configure_logging

COMMANDS = (
    CommandEntry(
        "demo",
        "tianyu.cli.demo:demo_command",
        "Simulate a night with a transit and variable stars, reduce it, compare with the truth.",
    ),
    CommandEntry(
        "reduce",
        "tianyu.cli.reduce:reduce_command",
        "Reduce a folder of frames to light curves on this machine.",
    ),
    CommandEntry(
        "watch",
        "tianyu.cli.watch:watch_command",
        "Register and measure frames of an open night as they come into a folder.",
    ),
    CommandEntry(
        "status", "tianyu.cli.status:status_command", "Show how far runs are, what failed and why."
    ),
    CommandEntry(
        "lightcurve",
        "tianyu.cli.lightcurve:lightcurve_command",
        "Show, plot or export the light curve of one source.",
    ),
    CommandEntry(
        "explain",
        "tianyu.cli.explain:explain_command",
        "Trace one point of a light curve back to its raw file.",
    ),
    CommandEntry(
        "sources",
        "tianyu.cli.sources:sources_command",
        "List the sources of a run and their scatter.",
    ),
    CommandEntry(
        "analyse",
        "tianyu.cli.analyse:analyse_command",
        "Fit the transit in a light curve, rank variables, or weigh the precision of a run.",
    ),
    CommandEntry(
        "inject",
        "tianyu.cli.inject:inject_command",
        "Inject signals into the pixels of reduced frames, and count what is recovered.",
    ),
    CommandEntry(
        "frames",
        "tianyu.cli.frames:frames_command",
        "Show what was measured in each frame of a night, and overrule the tests.",
    ),
    CommandEntry(
        "init",
        "tianyu.cli.init:init_command",
        "Create the database or bring its tables up to date, add a site, declare its queues.",
    ),
    CommandEntry("site", "tianyu.cli.site:app", "Add and list sites."),
    CommandEntry("instrument", "tianyu.cli.instrument:app", "Add and list instruments."),
    CommandEntry("target", "tianyu.cli.target:app", "Add and list targets."),
    CommandEntry(
        "register",
        "tianyu.cli.register:register_command",
        "Register frames and publish the default recipe of each observation.",
    ),
    CommandEntry(
        "publish",
        "tianyu.cli.register:publish_command",
        "Publish the processes that reduce a registered observation.",
    ),
    CommandEntry(
        "transfer",
        "tianyu.cli.transfer:transfer_command",
        "Bring the raw frames of an observation to another site, by its consumers.",
    ),
    CommandEntry(
        "capture",
        "tianyu.cli.capture:capture_command",
        "Take a series of exposures; every frame appears whole, with a full header.",
    ),
    CommandEntry("observation", "tianyu.cli.observation:app", "List and close observations."),
    CommandEntry(
        "manager",
        "tianyu.cli.services:manager_command",
        "Dispatch ready processes, take over from vanished workers; run as many as you like.",
    ),
    CommandEntry(
        "consumer",
        "tianyu.cli.services:consumer_command",
        "Claim and run processes of one site and group; run as many as you like.",
    ),
    CommandEntry(
        "scale",
        "tianyu.cli.scale:scale_command",
        "Start consumers while there is work for more of them, and drain them when there is not.",
    ),
    CommandEntry(
        "serve-files",
        "tianyu.cli.servefiles:serve_files_command",
        "Send files of this site to other sites that ask with the right token.",
    ),
    CommandEntry(
        "health",
        "tianyu.cli.health:health_command",
        "Ask the manager or consumer of this machine how it is.",
    ),
    CommandEntry(
        "dead-letters",
        "tianyu.cli.deadletters:dead_letters_command",
        "List the messages that consumers could not use: where, why, and what to do.",
    ),
    CommandEntry(
        "run", "tianyu.cli.run:app", "List, show, use, compare, cancel, rescue and purge runs."
    ),
    CommandEntry(
        "purge",
        "tianyu.cli.retention.command:purge_command",
        "Remove what superseded runs needed only while they ran, and files of broken attempts.",
    ),
    CommandEntry(
        "pack",
        "tianyu.cli.retention.pack:pack_command",
        "Keep the light curves of runs that have ended in a seventh of the space, or undo it.",
    ),
    CommandEntry("process", "tianyu.cli.process:app", "Show, retry and cancel one process."),
    CommandEntry(
        "steps", "tianyu.cli.steps:steps_command", "List the steps, or the parameters of one."
    ),
    CommandEntry(
        "config", "tianyu.cli.config:config_command", "Show the settings and where they come from."
    ),
)
"""Every command, in the order of ``tianyu --help``."""


SERVICES = frozenset({"manager", "consumer", "scale", "serve-files"})
"""Commands that run for weeks and are known by their logs."""


class TianyuGroup(LazyGroup):
    """The top of the command line; turns foreseen errors into one line and an exit code."""

    entries: ClassVar[tuple[CommandEntry, ...]] = COMMANDS

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except FORESEEN as error:
            if ctx.params.get("debug"):
                raise
            report(error)
            raise typer.Exit(exit_code(error)) from error


app = typer.Typer(
    name="tianyu",
    cls=TianyuGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from tianyu.schema.directory import code_version  # noqa: PLC0415 - see lazy.py

        typer.echo(f"tianyu {code_version()}")
        raise typer.Exit


@app.callback()
def configure(
    context: typer.Context,
    *,
    debug: Annotated[  # noqa: ARG001 - read by the group when a command raises
        bool,
        typer.Option("--debug", envvar="TIANYU_DEBUG", help="Show the traceback of every error."),
    ] = False,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Log JSON lines instead of lines for people.")
    ] = False,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(
            "--log-level",
            case_sensitive=False,
            help="Default: the setting log_level for services, WARNING elsewhere.",
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001 - the call-back has answered it
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and stop."
        ),
    ] = False,
) -> None:
    """From telescope frames to light curves.

    Every command has its own help with an example: tianyu lightcurve --help
    """
    # A person reads bars and tables; a log of all that went well belongs to services.
    is_service = context.invoked_subcommand in SERVICES
    quiet = None if is_service else LogLevel.WARNING
    configure_logging(log_level or quiet, as_json=log_json)


def main() -> None:
    """Run the command line; entry point of the installed program."""
    app(prog_name="tianyu")
