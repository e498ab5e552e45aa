"""Steps that behave, and steps that misbehave in every way a consumer has to survive."""

import ctypes
import errno
import os
import signal
import subprocess
import time
from pathlib import Path

from sqlalchemy.exc import OperationalError

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import TransientError, UnreachableError, UnusableDataError
from tianyu.pipelines.products import Products
from tianyu.pipelines.step import StepParameters, step
from tianyu.schema.tables import HardwareGroup


class Nothing(StepParameters):
    """A step that takes no parameters."""


class Lasting(StepParameters):
    """How long to take."""

    seconds: float = 60.0


class Sized(StepParameters):
    """How much to take."""

    megabytes: int = 1


class Named(StepParameters):
    """Where to leave a trace."""

    path: str


def _row(context: StepContext) -> Products:
    """Return a product that is there once per success: a row named after the attempt."""
    products = Products()
    products.row(HardwareGroup, name=f"{context.process_id}.{context.attempt}")
    return products


def _row_and_file(context: StepContext) -> Products:
    # It brings half of the science along; the other steps start sooner without.
    from tianyu.pipelines.saving import save_file

    products = _row(context)
    save_file(context, products, "text", "txt", f"attempt {context.attempt}".encode())
    return products


@step("noop", parameters=Nothing, reads=(), writes=())
def do_nothing(parameters: Nothing, context: StepContext) -> Products:
    """Leave a row and nothing else."""
    return _row(context)


@step("sleep", parameters=Lasting, reads=(), writes=())
def sleep(parameters: Lasting, context: StepContext) -> Products:
    """Take a while."""
    time.sleep(parameters.seconds)
    return _row(context)


@step("wait_for_file", parameters=Named, reads=(), writes=())
def wait_for_file(parameters: Named, context: StepContext) -> Products:
    """Take until a file is there."""
    while not Path(parameters.path).exists():
        time.sleep(0.02)
    return _row(context)


@step("compute", parameters=Lasting, reads=(), writes=())
def compute(parameters: Lasting, context: StepContext) -> Products:
    """Keep a processor busy for a while."""
    start = time.process_time()
    while time.process_time() - start < parameters.seconds:
        sum(range(1000))
    context.traffic.read += 1234
    return _row(context)


@step("write_file", parameters=Lasting, reads=(), writes=("text",))
def write_file(parameters: Lasting, context: StepContext) -> Products:
    """Write who made it into a product file, after a while."""
    time.sleep(parameters.seconds)
    return _row_and_file(context)


@step("write_file_deaf", parameters=Lasting, reads=(), writes=("text",))
def write_file_deaf(parameters: Lasting, context: StepContext) -> Products:
    """Do the same; the first attempt lets no other thread notice anything meanwhile."""
    if context.attempt == 1:
        # Unlike CDLL, PyDLL keeps the interpreter locked during the call.
        ctypes.PyDLL(None).sleep(int(parameters.seconds))
    return _row_and_file(context)


@step("two_rows_of_one_name", parameters=Nothing, reads=(), writes=())
def two_rows_of_one_name(parameters: Nothing, context: StepContext) -> Products:
    """Return products that the database refuses, the second one after the first."""
    products = _row(context)
    products.row(HardwareGroup, name=f"{context.process_id}.{context.attempt}")
    return products


@step("fail_permanent", parameters=Nothing, reads=(), writes=())
def fail_permanent(parameters: Nothing, context: StepContext) -> Products:
    """Find data that nothing can be made of."""
    raise UnusableDataError("all 12 frames are saturated; expose shorter")


@step("fail_transient", parameters=Nothing, reads=(), writes=())
def fail_transient(parameters: Nothing, context: StepContext) -> Products:
    """Find the world outside broken."""
    raise TransientError("the tape robot is busy")


@step("peer_away", parameters=Nothing, reads=(), writes=())
def meet_silent_peer(parameters: Nothing, context: StepContext) -> Products:
    """Find another machine silent, four times."""
    if context.attempt <= 4:
        raise UnreachableError("the dome does not answer")
    return _row(context)


@step("fail_unexpected", parameters=Nothing, reads=(), writes=())
def fail_unexpected(parameters: Nothing, context: StepContext) -> Products:
    """Have a bug."""
    return {1: _row(context)}[2]


@step("crash", parameters=Nothing, reads=(), writes=())
def crash(parameters: Nothing, context: StepContext) -> Products:
    """End without a word."""
    os._exit(7)


@step("segfault", parameters=Nothing, reads=(), writes=())
def segfault(parameters: Nothing, context: StepContext) -> Products:
    """Read where nothing is."""
    ctypes.string_at(0)
    return _row(context)


@step("kill_self", parameters=Nothing, reads=(), writes=())
def kill_self(parameters: Nothing, context: StepContext) -> Products:
    """Die as by the kernel when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)
    return _row(context)


@step("leak", parameters=Sized, reads=(), writes=())
def leak(parameters: Sized, context: StepContext) -> Products:
    """Hold memory for ever, and go on as if nothing were."""
    _LEAKED.append(bytearray(os.urandom(1)) * (parameters.megabytes << 20))
    time.sleep(1.8)
    return _row(context)


_LEAKED: list[bytearray] = []


@step("never_return", parameters=Nothing, reads=(), writes=(), time_limit_s=1.5)
def never_return(parameters: Nothing, context: StepContext) -> Products:
    """Hang."""
    while True:
        time.sleep(60.0)


@step("stubborn", parameters=Named, reads=(), writes=(), time_limit_s=1.5)
def stubborn(parameters: Named, context: StepContext) -> Products:
    """Hang, and do not listen to SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _note(parameters, os.getpid())
    while True:
        time.sleep(60.0)


@step("hang_with_subprocess", parameters=Named, reads=(), writes=(), time_limit_s=1.5)
def hang_with_subprocess(parameters: Named, context: StepContext) -> Products:
    """Wait for a program that never ends."""
    with subprocess.Popen(["sleep", "600"]) as program:
        _note(parameters, program.pid)
        program.wait()
    return _row(context)


@step("crash_with_fork", parameters=Named, reads=(), writes=())
def crash_with_fork(parameters: Named, context: StepContext) -> Products:
    """Die while a copy of this process, with all its open files, lives on."""
    copy = os.fork()
    if copy == 0:
        time.sleep(600.0)
        os._exit(0)
    _note(parameters, copy)
    os._exit(7)


@step("fork_and_return", parameters=Named, reads=(), writes=())
def fork_and_return(parameters: Named, context: StepContext) -> Products:
    """Return twice: once as itself, and once as a copy of itself."""
    copy = os.fork()
    if copy == 0:
        time.sleep(0.3)
    else:
        _note(parameters, copy)
    return _row(context)


@step("leave_program", parameters=Named, reads=(), writes=())
def leave_program(parameters: Named, context: StepContext) -> Products:
    """Succeed, and leave a program running."""
    program = subprocess.Popen(["sleep", "600"])
    _note(parameters, program.pid)
    return _row(context)


@step("compute_and_crash", parameters=Lasting, reads=(), writes=())
def compute_and_crash(parameters: Lasting, context: StepContext) -> Products:
    """Keep a processor busy for a while, and end without a word."""
    start = time.process_time()
    while time.process_time() - start < parameters.seconds:
        sum(range(1000))
    os._exit(7)


@step("meet_full_disk", parameters=Named, reads=(), writes=())
def meet_full_disk(parameters: Named, context: StepContext) -> Products:
    """Meet a full disk, unless somebody has made room by making a file."""
    if not os.path.exists(parameters.path):  # noqa: PTH110 - a text all the way
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "product.fits")
    return _row(context)


@step("meet_full_database", parameters=Named, reads=(), writes=())
def meet_full_database(parameters: Named, context: StepContext) -> Products:
    """Meet a database without room, unless somebody has made some by making a file."""
    if not os.path.exists(parameters.path):  # noqa: PTH110 - a text all the way
        raise OperationalError("INSERT", {}, Exception("database or disk is full"))
    return _row(context)


def _note(parameters: Named, number: int) -> None:
    partial = f"{parameters.path}.part"
    with open(partial, "w") as file:  # noqa: PTH123 - a text all the way
        file.write(str(number))
    os.replace(partial, parameters.path)  # noqa: PTH105 - a text all the way
