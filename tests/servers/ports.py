"""Ports that stay ours while a server is down for a moment."""

import random
import socket

PORTS = range(20_000, 32_000)
"""Below the ports that systems hand to outgoing connections, which would otherwise take the
port of a server while it is down for a moment."""


def free_ports(number: int) -> list[int]:
    """Draw ports that nobody listens on, at random so that parallel tests rarely meet."""
    found: list[int] = []
    while len(found) < number:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
