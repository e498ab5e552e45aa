"""``tianyu serve-files``: the file service of a site."""

import logging
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from tianyu.cli.connect import open_database
from tianyu.cli.fileservice.application import application
from tianyu.cli.fileservice.copies import SiteFiles
from tianyu.cli.fileservice.health import FileServiceHealth
from tianyu.cli.monitoring import answering, new_registry
from tianyu.cli.options import DatabaseOption, SiteOption
from tianyu.cli.stopping import on_stop
from tianyu.schema.directory import find_site
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.settings import load_settings

logger = logging.getLogger(__name__)

PORT = 8766
MOST_AT_ONCE = 64
"""Connections; more are asked to come again."""

GRACE_S = 10
"""How long a stopped service goes on sending; the receiver comes back for the rest."""


def serve_files_command(
    *,
    site: SiteOption = None,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Address to listen at.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, metavar="PORT")] = PORT,
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", metavar="FILE", help="Of this service, PEM: speaks TLS."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The key of that certificate.")
    ] = None,
    database: DatabaseOption = None,
) -> None:
    """Send files of this site to other sites that ask with the right token.

    Only registered images are sent, by their numbers. The token is the setting file_token. Stops
    on SIGTERM or Ctrl-C.

    Example: tianyu serve-files --site observatory --host 10.0.0.2 --certificate s.pem --key s.key
    """
    settings = load_settings(database_url=database, site=site)
    _check_pair(certificate, key)
    with open_database(database, patiently=True) as opened:
        with opened.read() as connection:
            site_id, root, _ = find_site(connection, settings.site)
        files = SiteFiles(opened, site_id, root)
        service = application(files, settings.file_token.get_secret_value())
        where = f"http{'s' if certificate else ''}://{host}:{port}"
        logger.info("files of %s served at %s", settings.site, where, extra={"action": "start"})
        health = FileServiceHealth(files)
        # The server stops by itself on a signal and then raises it again, to end the process by it.
        on_stop(lambda: None)
        with answering(settings.metrics_host, settings.metrics_port, health, new_registry()):
            uvicorn.run(
                service,
                host=host,
                port=port,
                ssl_certfile=certificate,
                ssl_keyfile=key,
                # Its lines go where ours go.
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=MOST_AT_ONCE,
                timeout_graceful_shutdown=GRACE_S,
            )


def _check_pair(certificate: Path | None, key: Path | None) -> None:
    if (certificate is None) != (key is None):
        raise ConfigurationError("--certificate and --key need each other; give both or none")
    for name, path in (("--certificate", certificate), ("--key", key)):
        if path is not None and not path.is_file():
            raise ConfigurationError(f"{name} names {path}, which is no file")
