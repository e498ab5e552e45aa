"""Whether frames are worked on by compiled kernels or on a GPU, and where the former are kept.

The choice between them and their plain references is the setting ``kernels``. Kernels are
compiled when first needed and kept in a folder of the user, since that of the program may be
read-only.
"""

import atexit
import logging
import os
import re
import shutil
import tempfile
from functools import cache
from hashlib import sha256
from pathlib import Path

from tianyu.pipelines.kernel_copies import adopt
from tianyu.schema.settings import load_settings

GPU_GROUP = "gpu"
"""Consumers of this group work on frames on a GPU, whatever the setting says."""

_CHOICE_VARIABLE = "TIANYU_KERNELS"

CACHE_VARIABLE = "NUMBA_CACHE_DIR"
"""Read by Numba when it is imported."""

_FROM_SCIENCE = re.compile(r"from tianyu\.pipelines\.science\.(\w+) import")
"""Modules from which kernels take constants."""

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
        folder = cache_folder(settings.kernel_cache) / version()
        adopt(settings.kernel_source, folder)
        os.environ[CACHE_VARIABLE] = str(folder)
    return True


def kernel_folder() -> Path:
    """Return where compiled kernels are kept, if :func:`compiled_kernels` are to be used."""
    return Path(os.environ[CACHE_VARIABLE])


@cache
def gpu_kernels() -> bool:
    """Tell whether frames are to be worked on where a GPU has them.

    What little of a frame comes back is worked on by compiled kernels.
    """
    return load_settings().kernels == "gpu"


def choose_gpu() -> None:
    """Let this process work on a GPU from now on, whatever the setting says."""
    os.environ[_CHOICE_VARIABLE] = "gpu"
    gpu_kernels.cache_clear()
    compiled_kernels.cache_clear()


def version() -> str:
    """Return what tells this version of the kernels from others, whose compiled code is no use.

    Numba looks at the file of each function, but not at what that function calls: compiled code
    would outlive a change in another kernel or in a constant.
    """
    files = sorted((Path(__file__).parent / "science" / "kernels").glob("*.py"))
    named = {name for file in files for name in _FROM_SCIENCE.findall(file.read_text("utf-8"))}
    files += [Path(__file__).parent / "science" / f"{name}.py" for name in sorted(named)]
    digest = sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


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
