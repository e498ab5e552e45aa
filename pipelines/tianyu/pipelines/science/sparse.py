"""Images that are nearly empty, nearly constant or nearly narrow, kept as what departs from that.

What is written between steps is read again within minutes by this program alone; a stack as it is
would be the bytes of two and a half raw frames for each chunk. Everything here is exact: what comes
back is what was given.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tianyu.pipelines.science.arrays import AnyArray, IntArray


@dataclass(frozen=True)
class FewPixels:
    """The pixels of an image that matter; others are not listed.

    Attributes
    ----------
    places : ndarray of int64, shape (n,)
        Flat indices, rising; at least one, since files hold no empty lists.
    values : ndarray, shape (n,)
    """

    places: IntArray
    values: NDArray[Any]

    @classmethod
    def of(cls, image: AnyArray, matter: AnyArray) -> "FewPixels":
        """List the pixels where `matter`, of the image's shape, is not zero.

        Examples
        --------
        >>> image = np.array([[0, 7], [0, 8]])
        >>> FewPixels.of(image, image > 7)
        FewPixels(places=array([3]), values=array([8]))
        """
        places = np.flatnonzero(matter)
        if not places.size:
            places = np.zeros(1, np.int64)
        return cls(places, image.reshape(-1)[places])

    def put(self, image: AnyArray) -> None:
        """Write them into a C-contiguous image."""
        image.reshape(-1)[self.places] = self.values


def narrowed(image: AnyArray) -> tuple[NDArray[np.int16], FewPixels] | None:
    """Return whole numbers as 16 bits, and those that need more.

    Parameters
    ----------
    image : ndarray of integers, shape (ny, nx)

    Returns
    -------
    low : ndarray of int16, shape (ny, nx)
        Right but for the listed pixels.
    large : FewPixels
        The others, with places of 32 bits in mind: images hold less than 2³¹ pixels.
        None in place of both where that would not be smaller.

    Examples
    --------
    >>> low, large = narrowed(np.array([[1, 2, -3, 4, 5, 6, 7, 70000]], np.int32))
    >>> low[0, :7].tolist(), large.places.tolist(), large.values.tolist()
    ([1, 2, -3, 4, 5, 6, 7], [7], [70000])
    """
    low = image.astype(np.int16)
    is_large = low != image
    n_large = int(np.count_nonzero(is_large))
    if low.nbytes + n_large * (4 + image.itemsize) >= image.nbytes:
        return None
    return low, FewPixels.of(image, is_large)


def widened(low: NDArray[np.int16], large: FewPixels) -> NDArray[Any]:
    """Return the image of which :func:`narrowed` was given, of the type of the large values."""
    image = low.astype(large.values.dtype)
    large.put(image)
    return image


def runs_of(image: AnyArray) -> FewPixels | None:
    """Return the last pixel of each run of equal ones, row after row.

    Returns
    -------
    FewPixels or None
        None where it would not be smaller than the image.

    Examples
    --------
    >>> image = np.array([[5, 5, 5, 5, 5, 5, 5], [5, 5, 5, 5, 5, 5, 0]], np.uint8)
    >>> runs_of(image)
    FewPixels(places=array([12, 13]), values=array([5, 0], dtype=uint8))
    """
    flat = image.reshape(-1)
    last = np.append(np.flatnonzero(flat[1:] != flat[:-1]), flat.size - 1)
    if last.size * (4 + image.itemsize) >= image.nbytes:
        return None
    return FewPixels(last, flat[last])


def image_of_runs(runs: FewPixels, shape: tuple[int, int]) -> NDArray[Any]:
    """Return the image of shape ``(ny, nx)`` of which :func:`runs_of` was given."""
    return np.repeat(runs.values, np.diff(runs.places, prepend=-1)).reshape(shape)
