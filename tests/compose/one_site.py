"""A site with its servers, from nothing to light curves.

Registers a night from the host, scales consumers and restarts servers while it is reduced, asks
for the light curve with MySQL's own client. In the middle of it everything is backed up, wiped,
restored and goes on.
"""

from pathlib import Path

from tests.compose.night import CHUNK, HATP32, Progress, is_embedded_equal, timed, wait
from tests.compose.report import print_table
from tests.compose.stack import Stack

CURVE = (
    "SELECT ROUND(bjd_tdb_mid, 5) AS bjd_tdb, ROUND(relative_flux, 4) AS relative_flux, "
    "ROUND(relative_flux_error, 4) AS error FROM light_curve WHERE source_name = 'HAT-P-32' AND "
    "is_default_radius = 1 AND frame_is_good = 1 ORDER BY bjd_tdb_mid LIMIT 5"
)


def run(frames: Path, folder: Path, *, keep: bool) -> bool:
    """Run the story; return whether the light curves are those of the embedded reduction."""
    stack = Stack(frames, folder / "secrets")
    try:
        return _story(stack, folder)
    finally:
        if not keep:
            stack.remove()


def _story(stack: Stack, folder: Path) -> bool:
    stack.make_secrets()
    stack.remove()
    with timed("docker compose build"):
        stack.compose("build", timeout_s=1800)
    with timed("docker compose up --detach --wait"):
        stack.compose("up", "--detach", "--wait", "--wait-timeout", "300")
    with timed("tianyu register /frames --placement copy"):
        stack.tianyu("register", "/frames", "--placement", "copy", "--chunk", CHUNK, *HATP32)
    with timed("reduced, with everything restarted, wiped and restored on the way"):
        _disturb(stack)
        _wipe_and_restore(stack, folder)
        wait(stack, lambda progress: progress.is_over)
    print(stack.sql(CURVE))
    print_table(stack.containers())
    return is_embedded_equal(stack, stack.frames, folder / "embedded")


def _disturb(stack: Stack) -> None:
    """Scale and restart while work goes on."""
    steps: list[tuple[float, tuple[str, ...]]] = [
        (0.05, ("up", "--detach", "--no-recreate", "--scale", "consumer-cpu=4")),
        (0.2, ("restart", "mysql")),
        (0.35, ("restart", "rabbitmq")),
        (0.5, ("restart", "manager")),
        (0.6, ("up", "--detach", "--no-recreate", "--scale", "consumer-cpu=1")),
    ]
    for share, command in steps:
        progress = _wait_for(stack, share)
        where = f"{progress.succeeded} of {progress.total} processes done"
        with timed(f"docker compose {' '.join(command)} ({where})"):
            stack.compose(*command)


def _wait_for(stack: Stack, share: float) -> Progress:
    def is_reached(now: Progress) -> bool:
        return now.total > 0 and now.succeeded >= share * now.total

    return wait(stack, is_reached)


def _wipe_and_restore(stack: Stack, folder: Path) -> None:
    _wait_for(stack, 0.7)
    with timed("sh deploy/backup.sh, while it works"):
        backup = stack.script("deploy/backup.sh", str(folder / "backup")).split()[-1]
    with timed("docker compose down --volumes: everything gone"):
        stack.remove()
    with timed("sh deploy/restore.sh"):
        stack.script("deploy/restore.sh", backup)
    progress = Progress(stack)
    print(f"          {progress.succeeded} of {progress.total} processes done in what was restored")
    assert progress.succeeded < progress.total, "the backup came too late to show anything"
