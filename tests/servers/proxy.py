"""A TCP proxy between the code and a real server, which misbehaves on demand."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import urlsplit

from tests.servers.ports import free_ports

CHUNK = 65536
LOOK_S = 0.01


@dataclass(eq=False)
class _Pipe:
    """One connection: two sockets, and whether it has been forgotten."""

    client: socket.socket
    server: socket.socket
    is_lost: bool = False


@dataclass
class Proxy:
    """Forwards every connection to a server, as well as it is told to.

    Use as a context manager. The faults are context managers as well: they hold while their
    block lasts, and concern connections that are there and those that are made meanwhile.

    Parameters
    ----------
    target : (str, int)
        Host and port of the server.
    """

    target: tuple[str, int]
    port: int = field(init=False)
    _hole: threading.Event = field(default_factory=threading.Event)
    _refusing: bool = False
    _delay_s: float = 0.0
    _bytes_per_s: float | None = None
    _pipes: list[_Pipe] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closing: bool = False
    times_connected: int = 0

    def __enter__(self) -> "Proxy":
        (self.port,) = free_ports(1)
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._hole.set()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._closing = True
        self._hole.set()
        self._listener.close()
        self.cut()

    def through(self, url: str) -> str:
        """Return a URL with the server replaced by this proxy."""
        parts = urlsplit(url)
        account, _, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{account}@127.0.0.1:{self.port}").geturl()

    # -- faults -------------------------------------------------------------------------------

    def cut(self) -> None:
        """Reset every connection, as when a router restarts."""
        with self._lock:
            pipes, self._pipes = self._pipes, []
        for pipe in pipes:
            for end in (pipe.client, pipe.server):
                # Linger 0 sends RST: what was on its way is lost.
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                _close(end)

    def half_close(self) -> None:
        """Say to every client that the server will send nothing more, and go on listening."""
        with self._lock:
            pipes = list(self._pipes)
        for pipe in pipes:
            with contextlib.suppress(OSError):
                pipe.client.shutdown(socket.SHUT_WR)

    def forget(self) -> None:
        """Carry nothing more for the connections that are there, and never say so."""
        with self._lock:
            for pipe in self._pipes:
                pipe.is_lost = True

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Cut, and refuse everybody."""
        self._refusing = True
        self.cut()
        yield
        self._refusing = False

    @contextlib.contextmanager
    def black_hole(self) -> Iterator[None]:
        """Accept everything and carry nothing; what was sent arrives when it is over."""
        self._hole.clear()
        yield
        self._hole.set()

    @contextlib.contextmanager
    def slow(self, delay_s: float = 0.0, bytes_per_s: float | None = None) -> Iterator[None]:
        """Carry everything late, or in a trickle."""
        self._delay_s, self._bytes_per_s = delay_s, bytes_per_s
        yield
        self._delay_s, self._bytes_per_s = 0.0, None

    # -- threads ------------------------------------------------------------------------------

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                _close(client)
                continue
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        self._hole.wait()
        try:
            server = socket.create_connection(self.target)
        except OSError:
            _close(client)
            return
        for end in (client, server):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pipe = _Pipe(client, server)
        with self._lock:
            self._pipes.append(pipe)
            self.times_connected += 1
        for source, sink in ((client, server), (server, client)):
            args = (pipe, source, sink)
            threading.Thread(target=self._carry, args=args, daemon=True).start()

    def _carry(self, pipe: _Pipe, source: socket.socket, sink: socket.socket) -> None:
        try:
            while content := source.recv(CHUNK):
                self._hole.wait()
                while pipe.is_lost and not self._closing:
                    time.sleep(LOOK_S)
                if self._delay_s:
                    time.sleep(self._delay_s)
                self._send(sink, content)
        except OSError:
            pass  # cut
        self._end(pipe)

    def _send(self, sink: socket.socket, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            if self._bytes_per_s is None:
                sink.sendall(rest)
                return
            step = max(1, int(self._bytes_per_s * LOOK_S))
            sink.sendall(rest[:step])
            rest = rest[step:]
            time.sleep(LOOK_S)

    def _end(self, pipe: _Pipe) -> None:
        with self._lock:
            if pipe in self._pipes:
                self._pipes.remove(pipe)
        _close(pipe.client)
        _close(pipe.server)


def _close(end: socket.socket) -> None:
    # Shut down first: another thread that reads from it would keep it alive.
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
