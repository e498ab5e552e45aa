"""Whether many light curves are compared, and their medians found, by compiled kernels."""

import sys

from tianyu.pipelines.kernels import compiled_kernels
from tianyu.pipelines.science.surface import PLAIN, Arithmetic

MANY = 3_000_000
"""Fewer numbers are compared sooner than kernels are imported, which takes half a second."""

_KERNELS = "tianyu.pipelines.science.kernels.jit"


def medians_for(n_values: int) -> Arithmetic:
    """Return the quicker way for so many numbers: both give the same.

    A process that has measured frames before has its kernels already.
    """
    if not compiled_kernels() or (n_values < MANY and _KERNELS not in sys.modules):
        return PLAIN
    from tianyu.pipelines.science.kernels.others import COMPILED  # noqa: PLC0415 - slow

    return COMPILED
