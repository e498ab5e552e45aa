"""Asking for memory before it is needed, while there is something to compute."""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from tianyu.pipelines.science.arrays import AnyArray
from tianyu.pipelines.science.kernels.jit import compiled

RUN = 64
"""Elements that are asked for at once: whole cache lines of any type."""

ROWS_AHEAD = 2
"""Rows of pixels from the one that is worked on to the one that is asked for: with one, memory is
still waited for; more gain nothing."""

_LINE_BYTES = 64


@intrinsic
def _prefetch(_typing: Any, array: Any, _index: Any) -> Any:
    """Bring the cache line of an element of a one-dimensional array near, without waiting for it.

    An index beyond the array does no harm.

    Parameters
    ----------
    array : ndarray, shape (n,)
        C-contiguous.
    index : int

    Notes
    -----
    Processors do so themselves within a page of 4 KiB, which is half a row of a frame: at the
    beginning of each they wait.
    """
    signature = numba.void(array, numba.uint64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        place = builder.gep(
            context.make_array(kind)(context, builder, arguments[0]).data, [arguments[1]]
        )
        pointer = builder.bitcast(place, cgutils.voidptr_t)
        word = ir.IntType(32)
        declared = builder.module.declare_intrinsic(
            "llvm.prefetch",
            [cgutils.voidptr_t],
            ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, word, word, word]),
        )
        # For reading, to the second-level cache and nearer, of data.
        builder.call(declared, [pointer, word(0), word(2), word(1)])
        return context.get_dummy_value()

    return signature, generate


@compiled
def fetch_run(array: AnyArray, first: int) -> None:
    """Ask for :data:`RUN` elements of an array, shape (n,), from the first on.

    Nothing happens to what lies beyond the array, or where it is empty.
    """
    for i in range(
        np.uint64(first), np.uint64(first + RUN), np.uint64(_LINE_BYTES // array.itemsize)
    ):
        _prefetch(array, i)  # type: ignore[call-arg]  # the compiler gives the first one
