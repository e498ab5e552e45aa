"""Waiting for what happens elsewhere."""

import time
from collections.abc import Callable

from tianyu.broker.interface import Broker, Hint

PATIENCE_S = 20.0
"""Far more than anything takes: only failures wait for it."""


def until(condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Return once the condition holds, and fail when it does not in time."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


def take(broker: Broker, number: int, patience_s: float = PATIENCE_S) -> list[Hint]:
    """Receive so many hints without acknowledging them."""
    hints: list[Hint] = []
    deadline = time.monotonic() + patience_s
    while len(hints) < number:
        hint = broker.receive(0.5)
        if hint is not None:
            hints.append(hint)
        assert time.monotonic() < deadline, f"{len(hints)} of {number} hints came"
    return hints


def work_off(broker: Broker, number: int, patience_s: float = PATIENCE_S) -> list[int]:
    """Receive and acknowledge so many hints; return the ids of their processes."""
    ids = []
    for _ in range(number):
        (hint,) = take(broker, 1, patience_s)
        broker.acknowledge(hint)
        ids.append(hint.process_id)
    return ids
