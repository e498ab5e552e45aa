"""Where a template can be searched: enough frames, and the small holes that are bridged."""

import numpy as np
from scipy import ndimage

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import AnyArray, BoolArray, FloatImage

MAX_HOLE_FWHM = 8.0
"""Uncovered holes up to this width are bridged: cores of stars that saturate in every frame."""


def searched_area(template: FloatImage, count: AnyArray, min_coverage: float) -> BoolArray:
    """Return the pixels with at least `min_coverage` of the largest count of frames.

    Parameters
    ----------
    template : ndarray of float32, shape (ny, nx)
        Not finite where no frame contributed.
    count : ndarray, shape (ny, nx)
        Frames that contributed to each pixel.
    min_coverage : float
        Between 0 and 1.

    Raises
    ------
    UnusableDataError
        If there is no such pixel.

    Examples
    --------
    >>> template = np.array([[1.0, 2.0, np.nan]], np.float32)
    >>> searched_area(template, np.array([[3, 10, 0]]), 0.5).tolist()
    [[False, True, False]]
    """
    searched = np.isfinite(template) & (count > 0) & (count >= min_coverage * count.max(initial=0))
    if not searched.any():
        raise UnusableDataError("no frame covers any pixel of the template; nothing to detect on")
    return np.asarray(searched)


def saturated_cores(searched: BoolArray, fwhm: float) -> BoolArray:
    """Return the small holes of the coverage: pixels that saturate in every frame.

    Left open, such a core would break its star into a ring of false sources. A hole at the
    border is none, nor is one wider than eight FWHM (in pixels).

    Examples
    --------
    >>> searched = np.ones((5, 7), bool)
    >>> searched[2, 3] = searched[0, 0] = False
    >>> np.argwhere(saturated_cores(searched, fwhm=2.0)).tolist()
    [[2, 3]]
    """
    labels, _ = ndimage.label(~searched)
    holes = np.zeros_like(searched)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        inner = all(s.start > 0 and s.stop < n for s, n in zip(box, searched.shape, strict=True))
        if inner and max(s.stop - s.start for s in box) <= MAX_HOLE_FWHM * fwhm:
            holes[box] |= labels[box] == label
    return holes


def bridge(pixels: FloatImage, searched: BoolArray, holes: BoolArray) -> FloatImage:
    """Return the pixels with holes filled from the nearest searched one.

    So a saturated core makes one source, centred well enough.
    """
    if not holes.any():
        return pixels
    row, column = ndimage.distance_transform_edt(
        ~searched, return_distances=False, return_indices=True
    )
    return np.where(holes, pixels[row, column], pixels)


FULL_PART = 0.8
"""Of the highest pixel of a template, from which cores are taken for full."""

FLAT_FWHM2 = 0.6
"""Least area of a flat core in squared FWHM; a star that is not full has 0.25 above 0.8 of it."""


def flat_cores(
    pixels: FloatImage, searched: BoolArray, bridged: BoolArray, fwhm: float
) -> BoolArray:
    """Return the cores that are bridged, or were full in the frames and are flat in their mean.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        Template without its background.
    searched, bridged : ndarray of bool, shape (ny, nx)
        Pixels where sources are sought; cores that were filled.
    fwhm : float
        Width of the stars, pixels.
    """
    highest = float(np.max(pixels, where=searched, initial=0.0))
    full = searched & (pixels >= FULL_PART * highest) & (pixels > 0.0)
    labels, _ = ndimage.label(full)
    area = np.bincount(labels.ravel())
    large = area >= FLAT_FWHM2 * fwhm**2
    large[0] = False
    return np.asarray(bridged | large[labels])


def peaked(pixels: FloatImage, flat: BoolArray) -> FloatImage:
    """Return the pixels with a peak on every flat core.

    Without curvature a filter that sums to zero sees its rim alone, as a ring of sources.

    Examples
    --------
    >>> image = np.zeros((5, 7), np.float32)
    >>> image[1:4, 1:6] = 9.0
    >>> peaked(image, image > 0)[2].tolist()
    [0.0, 18.0, 27.0, 27.0, 27.0, 18.0, 0.0]
    """
    if not flat.any():
        return pixels
    depth = ndimage.distance_transform_edt(np.pad(flat, 1))[1:-1, 1:-1]
    return np.asarray(pixels + depth * np.max(pixels), dtype=np.float32)
