"""A server started from its binary, which tests may stop, kill, pause and start again."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from tests.servers.server import STOP_PATIENCE_S, Server, ServerFailedError

HELPERS_PATIENCE_S = 3.0


def as_unprivileged() -> dict[str, Any]:
    """Return arguments for ``Popen``: servers refuse to run as root, and should."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def private_folder(name: str) -> Path:
    """Make a folder for a server, owned by the account it runs under.

    Not below the folders of pytest, which only their owner may enter; and short, since the
    path of a socket has at most 107 bytes.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"tianyu-{name}-"))
    account = as_unprivileged()
    if account:
        os.chown(folder, account["user"], account["group"])
    return folder


class ServerProcess(Server):
    """A server started from its binary, in a folder of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = private_folder(self.name)
        self._process: subprocess.Popen[bytes] | None = None
        self._guards: dict[int, subprocess.Popen[bytes]] = {}
        self._paused = False

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the command that runs the server in the foreground."""

    def environment(self) -> Mapping[str, str]:
        """Return all variables the server sees; nothing leaks in from the tests."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
        }

    # -- life -------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether it has been started and has not ended; a paused one counts."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id.

        Raises
        ------
        ServerFailedError
            If it has not been started.
        """
        if self._process is None:
            raise ServerFailedError(f"the {self.name} has not been started")
        return self._process.pid

    def launch(self) -> None:
        """Spawn it."""
        self._process = self.spawn(self.command())

    def stop(self) -> None:
        """Ask it to stop in an orderly way, and wait."""
        self.resume()
        if self._process is not None:
            family = self._family()
            self._process.terminate()
            self._reap(family, STOP_PATIENCE_S)

    def kill(self) -> None:
        """Kill it and its helpers with signal 9: nothing is flushed, nobody is told."""
        if self._process is not None:
            # Children are listed first: they cannot be found once their parent is gone.
            family = self._family()
            self._signal(signal.SIGKILL)
            self._reap(family, STOP_PATIENCE_S)
            self._paused = False

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing is answered."""
        self._signal(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """Let a frozen one go on."""
        if self._paused:
            self._signal(signal.SIGCONT)
            self._paused = False

    def remove(self) -> None:
        """End it and delete its folder."""
        # What it holds is thrown away, so that there is no reason to wait for an orderly end.
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- helpers of the servers -------------------------------------------------------------

    def spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a program of this server in its folder, in a process group of its own."""
        with (self.folder / "output.txt").open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=dict(self.environment()),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **as_unprivileged(),
            )
        self._guards[process.pid] = _guard(process.pid, self.folder)
        return process

    def dismiss_guard(self, process: subprocess.Popen[bytes]) -> None:
        """Say that a program has ended, so that nobody need end it after us."""
        guard = self._guards.pop(process.pid)
        guard.communicate(b"ended\n")

    def run(self, command: Sequence[str], timeout_s: float = 60.0) -> str:
        """Run a program of this server to its end; return what it printed."""
        result: subprocess.CompletedProcess[bytes] = subprocess.run(
            command,
            cwd=self.folder,
            env=dict(self.environment()),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            **as_unprivileged(),
        )
        if result.returncode != 0:
            text = (result.stdout + result.stderr).decode(errors="replace")[-2000:]
            raise ServerFailedError(f"{command[0]} ended with {result.returncode}:\n{text}")
        return result.stdout.decode(errors="replace")

    def last_output(self) -> str:
        """Return the end of what it wrote."""
        return (self.folder / "output.txt").read_text(errors="replace")[-3000:]

    def _family(self) -> list[psutil.Process]:
        if self._process is None or not self.is_running:
            return []
        try:
            return psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.is_running:
            os.killpg(self._process.pid, number)

    def _reap(self, family: Sequence[psutil.Process], patience_s: float) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
        # Its helpers have process groups of their own and hold files a little longer.
        deadline = time.monotonic() + HELPERS_PATIENCE_S
        while alive := [helper for helper in family if not _has_ended(helper)]:
            if time.monotonic() > deadline:
                for helper in alive:
                    helper.kill()
                break
            time.sleep(0.02)
        self.dismiss_guard(self._process)
        self._process = None


def _has_ended(process: psutil.Process) -> bool:
    # What lost its parent stays a zombie until the system looks after it; no harm in that.
    try:
        return not process.is_running() or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _guard(group: int, folder: Path) -> "subprocess.Popen[bytes]":
    """Start a shell that ends a server when the tests die without doing so themselves.

    The pipe to it closes with our end, whatever the reason: then ``read`` fails.
    """
    script = 'read -r _ || { kill -s KILL -- "-$1"; sleep 1; rm -rf -- "$2"; }'
    return subprocess.Popen(
        ["sh", "-c", script, "guard", str(group), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
