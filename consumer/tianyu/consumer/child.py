"""The child process in which steps run: started by spawn, reused, expendable.

A step that crashes, leaks or hangs takes only its child with it; the consumer beside it
sees the death at once and keeps the leases of the others.
"""

import contextlib
import signal
from ctypes import c_bool, c_double
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

from tianyu.consumer.execute import Executor
from tianyu.consumer.family import lead_family
from tianyu.consumer.lastwords import keep_last_words
from tianyu.consumer.messages import Prepare, Ready, Succeeded, Workplace
from tianyu.consumer.preparing import prepare
from tianyu.consumer.usage import cpu_seconds
from tianyu.pipelines.kernels import choose_gpu
from tianyu.schema.database import Database
from tianyu.schema.transitions.claim import Claim


def child_main(
    pipe: Pipe, place: Workplace, last_words: Path, may_take_next: c_bool, cpu_before_s: c_double
) -> None:
    """Serve claims until the pipe closes.

    Steps are imported when they are first asked for: a child is ready sooner, and holds only
    the science that it runs. Before each, the processor time spent so far is noted where the
    consumer finds it after this process has died.
    """
    # Ctrl-C is for the consumer, which alone decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lead_family()
    keep_last_words(last_words)
    if place.has_gpu:
        choose_gpu()
    database = Database(place.database_url)
    executor = Executor(database, place, lambda: may_take_next.value)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        # The consumer is gone or done with us when the pipe breaks: the normal end.
        pipe.send(Ready())
        while True:
            message = pipe.recv()
            if isinstance(message, Prepare):
                prepare(pipe)
            else:
                _serve(pipe, executor, message, cpu_before_s)
    database.dispose()


def _serve(pipe: Pipe, executor: Executor, first: Claim, cpu_before_s: c_double) -> None:
    claim: Claim | None = first
    while claim is not None:
        cpu_before_s.value = cpu_seconds()
        report = executor.execute(claim)
        pipe.send(report)
        claim = report.next if isinstance(report, Succeeded) else None
