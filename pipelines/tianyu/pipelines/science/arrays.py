"""Array types shared by the science functions.

Images are indexed ``[y, x]``; pixel coordinates are 0-based with the centre of the first
pixel at (0, 0); x runs along columns.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatImage: TypeAlias = NDArray[np.float32]
"""Pixels, shape ``(ny, nx)``, float32."""

MaskImage: TypeAlias = NDArray[np.uint8]
"""Bits of :class:`tianyu.pipelines.science.masks.MaskBit` per pixel, shape ``(ny, nx)``."""

FloatArray: TypeAlias = NDArray[np.float64]
"""Catalogue-like quantities in double precision, shape ``(n,)`` unless stated."""

BoolArray: TypeAlias = NDArray[np.bool_]
IntArray: TypeAlias = NDArray[np.int64]
AnyArray: TypeAlias = NDArray[Any]
