"""What stops a service."""

import signal
from collections.abc import Callable


def on_stop(stop: Callable[[], object]) -> None:
    """Let SIGTERM and Ctrl-C ask a service to stop."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _signal, _frame: stop())
