"""``tianyu health``: ask a service of this machine how it is, for containers and scripts."""

import json
import urllib.error
import urllib.request
from typing import Annotated

import typer

from tianyu.cli.answers import print_json
from tianyu.cli.errors import FAILED_WORK
from tianyu.cli.options import JsonOption
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.settings import load_settings

TIMEOUT_S = 10.0

ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - read, not listened at
"""Where to ask a service that listens at every address."""


def health_command(
    *,
    ready: Annotated[
        bool, typer.Option("--ready", help="Ask whether it would begin new work now.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Ask only for what a restart would mend.")
    ] = False,
    port: Annotated[
        int | None, typer.Option("--port", metavar="P", help="Default: the setting metrics_port.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the manager or consumer of this machine how it is.

    Exit status 0: it does its job. 1: it does not, with the reasons, or does not answer.

    Example: tianyu health --port 9107
    """
    settings = load_settings(metrics_port=port)
    if not settings.metrics_port:
        raise ConfigurationError(
            "nobody can be asked: set TIANYU_METRICS_PORT for the service, and here too"
        )
    path = "readyz" if ready else "livez" if live else "healthz"
    host = ANYWHERE.get(settings.metrics_host, settings.metrics_host)
    complaints = ask(f"http://{host}:{settings.metrics_port}/{path}")
    if as_json:
        print_json({"status": "failing" if complaints else "ok", "complaints": complaints})
    else:
        typer.echo("\n".join(complaints) or "ok")
    if complaints:
        raise typer.Exit(FAILED_WORK)


def ask(url: str) -> list[str]:
    """Return the complaints of a service; not to be reached is one too."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - http only
            return list(json.load(answer)["complaints"])
    except urllib.error.HTTPError as error:
        try:
            return list(json.load(error)["complaints"])
        except (ValueError, KeyError, TypeError):
            return [f"{url} answers {error.code} {error.reason}"]
    except (OSError, ValueError, KeyError) as error:
        reason = getattr(error, "reason", error)
        return [f"no service answers at {url}: {reason}"]
