"""The child process in which steps run: started by spawn, reused, expendable.

A step that crashes, leaks or hangs takes only its child with it; the consumer beside it
sees the death at once and keeps the leases of the others.
"""

import contextlib
import signal
from multiprocessing.connection import Connection as Pipe

from tianyu.consumer.execute import execute
from tianyu.consumer.messages import Assignment, Ready
from tianyu.pipelines.step import all_steps
from tianyu.schema.database import Database


def child_main(pipe: Pipe, database_url: str) -> None:
    """Serve assignments until the pipe closes."""
    # Ctrl-C reaches the whole foreground group; only the consumer decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    database = Database(database_url)
    all_steps()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        # The consumer is gone or done with us when the pipe breaks: the normal end.
        pipe.send(Ready())
        while True:
            assignment = pipe.recv()
            if not isinstance(assignment, Assignment):
                break
            pipe.send(execute(database, assignment))
    database.dispose()
