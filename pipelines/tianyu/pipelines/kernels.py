"""Whether frames are worked on by compiled kernels, and where these are kept.

The choice between them and their plain references is the setting ``kernels``. Kernels are
compiled when first needed and kept in a folder of the user, since that of the program may be
read-only.
"""

import atexit
import logging
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from tianyu.schema.settings import load_settings

CACHE_VARIABLE = "NUMBA_CACHE_DIR"
"""Read by Numba when it is imported."""

logger = logging.getLogger(__name__)


@cache
def compiled_kernels() -> bool:
    """Tell whether compiled kernels are to be used; they can be imported afterwards.

    Importing them takes half a second, so nobody does who has no frames to measure.
    """
    settings = load_settings()
    if settings.kernels == "reference":
        return False
    if CACHE_VARIABLE not in os.environ:
        os.environ[CACHE_VARIABLE] = str(cache_folder(settings.kernel_cache))
    return True


def cache_folder(wanted: str) -> Path:
    """Return a folder that can be written, for compiled kernels.

    Parameters
    ----------
    wanted : str
        From the settings; empty: the user's cache.

    Returns
    -------
    Path
        Where neither can be written, a new folder of this process: it compiles again what others
        have compiled. No folder that somebody else may write is ever taken, because what is
        loaded from it is run.
    """
    if wanted:
        folder = Path(wanted).expanduser()
    else:
        home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        folder = Path(home).expanduser() / "tianyu" / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError) as error:
        own = Path(tempfile.mkdtemp(prefix="tianyu-kernels-"))
        atexit.register(shutil.rmtree, own, ignore_errors=True)
        logger.warning(
            "compiled kernels cannot be kept in %s (%s): this process compiles them for itself in "
            "%s; set TIANYU_KERNEL_CACHE to a folder that it may write",
            folder,
            error,
            own,
        )
        return own
