"""A file service in a thread of its own, on a free port."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from tests.servers.ports import free_ports

from tianyu.cli.fileservice.application import application
from tianyu.cli.fileservice.copies import SiteFiles

TOKEN = "a token of twenty-five ch"  # noqa: S105 - of tests


@contextlib.contextmanager
def serving(files: SiteFiles, certificates: Path | None = None) -> Iterator[str]:
    """Serve the files of a site; the value is the address."""
    (port,) = free_ports(1)
    config = uvicorn.Config(
        application(files, TOKEN),
        host="127.0.0.1",
        port=port,
        log_config=None,
        ssl_certfile=None if certificates is None else certificates / "server.pem",
        ssl_keyfile=None if certificates is None else certificates / "server.key",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the file service did not start"
        time.sleep(0.01)
    try:
        yield f"http{'' if certificates is None else 's'}://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
