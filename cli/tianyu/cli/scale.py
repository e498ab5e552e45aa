"""``tianyu scale``: as many consumers of a group as there is work for."""

import logging
import os
import sys
from enum import StrEnum
from typing import Annotated

import typer
from sqlalchemy import Connection

from tianyu.cli.connect import open_database
from tianyu.cli.options import DatabaseOption, SiteOption
from tianyu.cli.stopping import on_stop
from tianyu.manager.scaling.crew import Crew
from tianyu.manager.scaling.decision import Policy
from tianyu.manager.scaling.dockercrew import DockerCrew
from tianyu.manager.scaling.processcrew import ProcessCrew
from tianyu.manager.scaling.scaler import Scaler
from tianyu.schema.directory import ensure_queue, find_site
from tianyu.schema.settings import Settings, load_settings

logger = logging.getLogger(__name__)


class Backend(StrEnum):
    """What consumers run in."""

    DOCKER = "docker"
    PROCESSES = "processes"


def scale_command(
    *,
    group: Annotated[
        str, typer.Option("--group", metavar="G", help="Hardware group whose queue is followed.")
    ] = "cpu",
    least: Annotated[int, typer.Option("--min", min=0, metavar="N", help="Fewest consumers.")] = 1,
    most: Annotated[int, typer.Option("--max", min=1, metavar="N", help="Most consumers.")] = 4,
    load_each: Annotated[
        int,
        typer.Option(
            "--load",
            min=1,
            metavar="N",
            help="Processes that wait or run for each consumer that is wanted.",
        ),
    ] = 2,
    rise: Annotated[
        float, typer.Option("--rise", min=0, metavar="S", help="More must be wanted for so long.")
    ] = 5.0,
    calm: Annotated[
        float, typer.Option("--calm", min=0, metavar="S", help="Fewer must be wanted for so long.")
    ] = 60.0,
    backend: Annotated[
        Backend, typer.Option("--backend", help="Containers of compose, or plain processes.")
    ] = Backend.DOCKER,
    service: Annotated[
        str | None,
        typer.Option("--service", metavar="NAME", help="Of compose. Default: consumer-GROUP."),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(
            "--project", metavar="NAME", envvar="COMPOSE_PROJECT_NAME", help="Of compose."
        ),
    ] = None,
    processes: Annotated[
        int,
        typer.Option(
            "--processes", min=1, metavar="N", help="Of each consumer, with --backend processes."
        ),
    ] = 1,
    site: SiteOption = None,
    database: DatabaseOption = None,
) -> None:
    """Start consumers while there is work for more of them, and drain them when there is not.

    A consumer that is drained finishes what it runs; none is ever killed. Stops on SIGTERM or
    Ctrl-C: containers then stay as they are, plain processes are drained.

    Example: tianyu scale --group cpu --min 1 --max 8
    """
    settings = load_settings(database_url=database, site=site)
    policy = Policy(least, most, load_each, rise, calm)
    with open_database(database, patiently=True) as opened:

        def find(connection: Connection) -> int:
            return ensure_queue(connection, find_site(connection, settings.site)[0], group)

        queue_id = opened.retry(find)
        crew: Crew
        if backend is Backend.DOCKER:
            crew = DockerCrew(service or f"consumer-{group}", project)
        else:
            _prepare_environment(settings, database)
            crew = ProcessCrew(_consumer(settings.site, group, processes))
        scaler = Scaler(opened, queue_id, crew, policy, settings.site, group)
        on_stop(scaler.stop)
        logger.info("scaling %s between %d and %d", group, least, most, extra={"action": "start"})
        scaler.run()


def _consumer(site: str, group: str, processes: int) -> list[str]:
    """Return the command of one consumer, with this very program."""
    program = [sys.executable, "-c", "from tianyu.cli.main import main; main()"]
    return [*program, "consumer", "--site", site, "--group", group, "--processes", str(processes)]


def _prepare_environment(settings: Settings, database: str | None) -> None:
    """Hand on to consumers what this command was told."""
    if database is not None:
        # Arguments can be seen by other users of the machine; the environment cannot.
        os.environ["TIANYU_DATABASE_URL"] = database
    if settings.metrics_port is not None:
        # They cannot all listen at one port.
        os.environ["TIANYU_METRICS_PORT"] = "0"
