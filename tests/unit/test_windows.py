"""Consumers of the group camera run on Windows: nothing that they import is of POSIX alone."""

import subprocess
import sys

import pytest

from tianyu.schema.errors import UnsafePathError
from tianyu.schema.paths import check_component, product_path, raw_path

WITHOUT_POSIX = """
import importlib, importlib.abc, os, signal, sys, time, socket

class Absent(importlib.abc.MetaPathFinder):
    '''Modules that Python does not have on Windows.'''
    names = {
        "fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "spwd", "crypt",
        "nis", "posix_ipc", "_posixsubprocess_absent", "readline",
    }
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ImportError(f"{name} is not there on Windows")

# What Python itself, the drivers and the arrays import on this system is not ours to judge.
for module in %(others)s:
    importlib.import_module(module)
for name in Absent.names & set(sys.modules):
    del sys.modules[name]
sys.meta_path.insert(0, Absent())
for name in (
    "fork", "forkpty", "getuid", "geteuid", "getgid", "getegid", "getpgid", "setpgid", "setsid",
    "killpg", "chown", "lchown", "fchown", "mkfifo", "uname", "getloadavg", "nice", "wait3",
    "wait4", "sched_getaffinity", "sched_yield", "statvfs", "O_DIRECTORY", "O_NONBLOCK",
    "O_CLOEXEC", "sysconf", "chroot", "initgroups", "getgroups", "posix_spawn", "pipe2",
):
    if hasattr(os, name):
        delattr(os, name)
for name in (
    "SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGSTOP", "SIGCONT", "SIGCHLD",
    "SIGPIPE", "SIGQUIT", "alarm", "setitimer", "pthread_sigmask", "pause", "sigwait",
):
    if hasattr(signal, name):
        delattr(signal, name)
if hasattr(time, "tzset"):
    del time.tzset
"""

OTHERS = [
    "multiprocessing.connection", "multiprocessing.context", "multiprocessing.spawn",
    "multiprocessing.sharedctypes", "subprocess", "tempfile", "logging", "ctypes", "asyncio",
    "sqlalchemy", "sqlalchemy.dialects.mysql", "sqlalchemy.dialects.sqlite", "pymysql", "pika",
    "pydantic", "pydantic_settings", "psutil", "numpy", "astropy.io.fits", "astropy.time",
    "astropy.coordinates", "scipy.ndimage", "prometheus_client", "typer", "rich.progress",
    "rich.live", "alembic.command", "requests", "alpaca.camera", "getpass", "watchdog.observers",
    "watchdog.observers.polling", "sep", "astropy.utils.iers", "scipy.spatial",
]  # fmt: skip
"""Kept packages, which have Windows versions of their own."""

CONSUMER_OF_CAMERAS = """
import tianyu.cli.main, tianyu.cli.services, tianyu.cli.capture
import tianyu.broker.connect, tianyu.broker.rabbitmq, tianyu.broker.embedded
import tianyu.consumer.consumer, tianyu.consumer.child, tianyu.consumer.pool
import tianyu.consumer.execute, tianyu.consumer.scratch, tianyu.consumer.usage
import tianyu.publisher.nightwatch, tianyu.publisher.folderwatch, tianyu.cli.watch
import tianyu.pipelines.cameras.alpaca, tianyu.pipelines.cameras.simulated
from tianyu.pipelines.step import all_steps
from tianyu.schema.settings import load_settings
groups = {step.group for step in all_steps().values()}
assert "camera" in groups, groups
load_settings()
"""

A_FRAME = """
from pathlib import Path
from tianyu.consumer import family, scratch, usage
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.step import find_step, validate
from tianyu.cli.verdicts import _person

values = {"exposure_s": 1.0, "speed": 1e6, "size_pix": 128}
context = StepContext(None, 1, 1, "capture", 1, 1, Path(%(root)r))
find_step("capture").run(validate("capture", values), context)
assert [p.name for p in Path(%(root)r, "incoming").iterdir()] == ["frame_0001.fits"]
assert usage.peak_memory_bytes() > 0 and usage.cpu_seconds() > 0
held = scratch.Scratch()
assert scratch.remove_stale() == []
held.remove()
assert not family._HAS_GROUPS
assert _person()
"""


def run_without_posix(code: str, others: list[str]) -> subprocess.CompletedProcess[str]:
    program = WITHOUT_POSIX % {"others": others} + code
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )


def test_what_consumers_of_cameras_import_is_there_on_windows_and_takes_a_frame(tmp_path):
    done = run_without_posix(CONSUMER_OF_CAMERAS + A_FRAME % {"root": str(tmp_path)}, OTHERS)
    assert done.returncode == 0, done.stderr


def test_the_test_itself_sees_what_is_missing():
    code = """
for missing in ("import fcntl", "import resource", "os.fork", "signal.SIGKILL", "os.geteuid()"):
    try:
        exec(missing)
    except (ImportError, AttributeError):
        continue
    raise SystemExit(missing)
"""
    done = run_without_posix(code, [])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["light:1.fits", "aux.fits", "COM1.fits", "a?.fits", "x.fits."])
def test_paths_in_rows_hold_no_name_that_windows_refuses(name):
    with pytest.raises(UnsafePathError, match="platform"):
        raw_path(1, name)
    with pytest.raises(UnsafePathError, match="platform"):
        product_path(1, name, 1, 1, "frame.fits")


def test_paths_in_rows_have_one_separator_everywhere():
    path = product_path(12, "measure_live", 345, 1, "frame.fits")
    assert "\\" not in path
    assert all(check_component(part) for part in path.split("/"))
