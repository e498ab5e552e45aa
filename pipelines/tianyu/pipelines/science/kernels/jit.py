"""How kernels are compiled."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function for the processor at its first call, and keep the result on the disk.

    No fast mathematics: sums keep their order, which is the same on every processor. The
    interpreter's lock is released meanwhile, so that the next frame can be read.
    """
    made: Function = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return made
