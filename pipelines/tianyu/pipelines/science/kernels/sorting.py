"""Sorting many short columns at once: always the same comparisons, so nothing is ever guessed."""

from tianyu.pipelines.science.arrays import AnyArray
from tianyu.pipelines.science.kernels.jit import compiled


@compiled
def sort_columns(values: AnyArray) -> None:
    """Sort every column by Batcher's merge exchange, which compares whole rows [1]_.

    Parameters
    ----------
    values : ndarray of numbers, shape (n, m)
        Changed, rising along the first axis. What is not a number may end anywhere.

    References
    ----------
    .. [1] D. E. Knuth, The Art of Computer Programming 3, 2nd ed., 5.2.2, algorithm M.
    """
    n = values.shape[0]
    highest = 1
    while 2 * highest < n:
        highest *= 2
    p = highest
    while p > 0:
        q, r, distance = highest, 0, p
        while True:
            for i in range(n - distance):
                if i & p == r:
                    _exchange(values[i], values[i + distance])
            if q == p:
                break
            distance, q, r = q - p, q // 2, p
        p //= 2


@compiled
def _exchange(low: AnyArray, high: AnyArray) -> None:
    for i in range(low.size):
        a, b = low[i], high[i]
        low[i] = a if a < b else b
        high[i] = b if a < b else a
