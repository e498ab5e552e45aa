"""Arrays of a device, and the way back from it."""

from typing import Any, TypeAlias

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray

ArrayNamespace: TypeAlias = Any
"""`numpy`, or a module with functions of the same names for arrays elsewhere, such as `cupy`."""

DeviceArray: TypeAlias = Any
"""An array of such a namespace."""


def to_host(array: DeviceArray) -> AnyArray:
    """Return an array of any namespace as NumPy's; it waits for what computes it.

    Examples
    --------
    >>> to_host(np.arange(3)).tolist()
    [0, 1, 2]
    """
    return array.get() if hasattr(array, "get") else np.asarray(array)
