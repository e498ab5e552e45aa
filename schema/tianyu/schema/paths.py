"""Paths under a site's root: they follow from an image's row, and never lead out of the root.

A stored path is relative, uses ``/`` and is valid on Windows too, since sites of one survey
run different systems.
"""

import re
from pathlib import Path, PurePosixPath

from tianyu.schema.errors import UnsafePathError

_FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]')
_RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))}
MAX_COMPONENT_BYTES = 200
"""File systems count bytes of UTF-8 and allow 255; products put numbers in front of a name."""

RECEIVED_FOLDER = "received"
"""Holds the copies of images of other sites, whole ones and those that are on their way."""

MAX_NAME_BYTES = 160
"""Of the name of an image in the name of a file that begins with the image's number."""


def check_component(name: str) -> str:
    """Return one file or folder name unchanged if every platform accepts it.

    Raises
    ------
    UnsafePathError
        If it is empty, a dot name, too long, reserved, no valid text, or has a character that
        some system does not allow.

    Examples
    --------
    >>> check_component("M31 r 0001.fits")
    'M31 r 0001.fits'
    """
    reserved = name.split(".", 1)[0].rstrip().lower() in _RESERVED
    if name in {"", ".", ".."} or not 0 < _length_bytes(name) <= MAX_COMPONENT_BYTES or reserved:
        raise UnsafePathError(f"{name!r} cannot be a file name on every platform; rename it")
    if _FORBIDDEN.search(name) or "/" in name or name[-1] in ". ":
        raise UnsafePathError(
            f"{name!r} holds a character or an ending that some platforms refuse; rename it"
        )
    return name


def raw_path(observation_id: int, name: str) -> str:
    """Return where a raw frame of an observation lies under a site's root."""
    return f"raw/{observation_id:06d}/{check_component(name)}"


def product_path(run_id: int, command: str, pid: int, attempt: int, name: str) -> str:
    """Return where a product lies under a site's root.

    The attempt is part of the name, so that a late zombie of an earlier attempt can never
    overwrite the file that a later one committed.
    """
    folder = check_component(command)
    return f"runs/{run_id:06d}/{folder}/{check_component(f'{pid}.{attempt}.{name}')}"


def received_path(image_id: int, name: str) -> str:
    """Return where an image of another site lies under the root of the site that received it.

    It follows from the image alone: whoever brings it writes the same bytes to the same place, and
    what a broken attempt has brought is found by the next one.

    Examples
    --------
    >>> received_path(4711, "90.1.stack.fits")
    'received/000004/4711.90.1.stack.fits'
    """
    # Of a name that fills its component the ending tells readers what the file is.
    ending = name.encode()[-MAX_NAME_BYTES:].decode(errors="ignore")
    return f"{RECEIVED_FOLDER}/{image_id // 1000:06d}/{check_component(f'{image_id}.{ending}')}"


def resolve(root: Path, relative: str) -> Path:
    """Return the absolute path of a stored one.

    Raises
    ------
    UnsafePathError
        If the path is absolute, holds ``..`` or an impossible name, or leads out of the root
        through a symbolic link.
    """
    pure = PurePosixPath(relative)
    if pure.is_absolute() or not pure.parts:
        raise UnsafePathError(f"the stored path {relative!r} is not relative to a site's root")
    for part in pure.parts:
        check_component(part)
    base = root.resolve()
    path = base.joinpath(*pure.parts)
    try:
        is_inside = path.resolve().is_relative_to(base)
    except (OSError, RuntimeError) as error:  # a symbolic link that leads to itself
        raise UnsafePathError(f"the stored path {relative!r} leads nowhere: {error}") from error
    if not is_inside:
        raise UnsafePathError(f"the stored path {relative!r} leads out of the site's root {root}")
    return path


def _length_bytes(name: str) -> int:
    """Return the length in UTF-8; 0 for what has none, a name with undecodable bytes."""
    try:
        return len(name.encode())
    except UnicodeEncodeError:
        return 0
