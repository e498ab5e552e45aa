"""The small HTTP server through which services tell how they are."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from tianyu.schema.errors import ConfigurationError

logger = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""What comes back by itself within this time is no illness: connections are opened again after
five seconds at most."""

REQUEST_TIMEOUT_S = 10.0


class Health(Protocol):
    """What judges a service; each answer is a list of complaints, empty when all is well."""

    def complaints(self, patience_s: float) -> list[str]:
        """Return what keeps it from its job for longer than ``patience_s``."""
        ...

    def unready(self) -> list[str]:
        """Return why it would not begin new work now."""
        ...

    def hang_ups(self) -> list[str]:
        """Return what only a restart mends."""
        ...


def new_registry() -> CollectorRegistry:
    """Return a registry that knows the process itself: memory, processor time, open files."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


@contextmanager
def answering(
    host: str, port: int | None, health: Health, registry: CollectorRegistry
) -> Iterator[int | None]:
    """Answer on a port while the block runs; the value is the port.

    ========== ================================================ ===================
    path       200 when                                         503 with
    ========== ================================================ ===================
    /livez     nothing hangs that only a restart mends          reasons, as JSON
    /healthz   it has done its job within the last ten seconds  reasons
    /readyz    it would begin new work this moment              reasons
    /metrics   always: for Prometheus
    ========== ================================================ ===================

    Parameters
    ----------
    host : str
    port : int or None
        0: any that is free. None: do nothing.
    health : Health
    registry : CollectorRegistry

    Raises
    ------
    ConfigurationError
        If the port cannot be listened at.
    """
    if port is None:
        yield None
        return
    checks: dict[str, Callable[[], list[str]]] = {
        "/livez": health.hang_ups,
        "/healthz": lambda: health.complaints(PATIENCE_S),
        "/readyz": health.unready,
    }
    try:
        server = ThreadingHTTPServer((host, port), _handler(checks, registry))
    except OSError as error:
        raise ConfigurationError(
            f"metrics cannot be offered at {host}:{port}: {error}; set metrics_port to a port "
            "that is free, one for each service of a machine"
        ) from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="tianyu-metrics", daemon=True)
    thread.start()
    logger.info("metrics and health at http://%s:%d", host, server.server_port)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(
    checks: dict[str, Callable[[], list[str]]], registry: CollectorRegistry
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_S
        server_version = "tianyu"
        sys_version = ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
            elif path in checks:
                complaints = checks[path]()
                self._answer_json(503 if complaints else 200, complaints)
            else:
                self._answer_json(404, [f"there is /metrics, {', '.join(checks)}"])

        def _answer_json(self, code: int, complaints: list[str]) -> None:
            status = "failing" if complaints else "ok"
            body = json.dumps({"status": status, "complaints": complaints}, ensure_ascii=False)
            self._answer(code, f"{body}\n".encode(), "application/json")

        def _answer(self, code: int, body: bytes, kind: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            logger.debug("metrics: " + format, *args)  # noqa: G003 - a format of the base class

    return Handler
