"""Compiled kernels that come with the program, as in a container's image."""

import logging
import shutil
import tempfile
from pathlib import Path

logger = logging.getLogger(__name__)


def adopt(source: str, folder: Path) -> None:
    """Copy what was compiled elsewhere, unless the folder is there already.

    They are copied because Numba compiles, and writes, what the processor of this machine needs
    and whoever compiled them had not.

    Parameters
    ----------
    source : str
        Folder of compiled kernels, one folder for each version; empty: there is none. What it
        holds is run, so nobody else may write there.
    folder : Path
        Of this version of the kernels.
    """
    shipped = Path(source) / folder.name
    if not source or folder.exists() or not shipped.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".copy-") as name:
        copy = Path(name) / folder.name
        try:
            shutil.copytree(shipped, copy)
            # Whole or not at all: other processes of this machine look there.
            copy.rename(folder)
        except OSError as error:
            if not folder.is_dir():
                logger.warning("kernels are compiled, since %s has no copy: %s", shipped, error)
