"""SEP's extraction of sources from a template, and the filter that matches its stars."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import sep
from scipy.ndimage import convolve1d

from tianyu.pipelines.science.arrays import AnyArray, BoolArray, FloatArray, FloatImage
from tianyu.pipelines.science.gaussian import FWHM_PER_SIGMA

FIRST_ROOM = 16
"""Part of the pixels, as its inverse, that SEP's buffer holds at first: it takes some 28 bytes for
each, and room for all pixels of a large detector would be most of the memory of a consumer."""

ONE_SIGMA = math.erf(math.sqrt(0.5))
"""Part of a normal distribution within one standard deviation."""

LEAST_BELOW = 0.4
"""Part of the pixels below the background from which that side tells the noise: half in an empty
field; in a crowded one the light of stars has lifted the rest, and the background itself."""

SUMS_TO_ZERO = 1e-9
"""Sum of a kernel below which it is zero but for rounding."""

BUFFER_FULL = "pixel buffer full"
"""What SEP says when it was not enough."""


def extract(
    pixels: FloatImage,
    noise: FloatImage,
    searched: BoolArray,
    threshold_sigma: float,
    *,
    minarea: int,
    filter_kernel: FloatArray | None,
    deblend_cont: float,
) -> AnyArray:
    """Run SEP's extraction on the searched pixels.

    Its cleaning stays off: on a crowded real field it took away five hundred of two thousand
    sources, most of which an independent stack confirms.

    Parameters
    ----------
    pixels, noise : ndarray of float32, shape (ny, nx)
        Template without its background, and the noise of its pixels.
    searched : ndarray of bool, shape (ny, nx)
        Pixels where sources are sought.
    threshold_sigma : float
        Least height after the filter, in its noise.
    minarea, filter_kernel, deblend_cont
        As of :func:`sep.extract`. A kernel that sums to zero is applied as it is: weighted by the
        noise of each pixel, as others are, it would not sum to zero where that changes.

    Returns
    -------
    structured ndarray, shape (n,)
        One row per source.
    """
    is_lowered = filter_kernel is not None and abs(filter_kernel.sum()) < SUMS_TO_ZERO
    if is_lowered and filter_kernel is not None:
        # SEP divides a kernel by the sum of its sizes, and compares with the noise of a pixel.
        sizes = np.abs(filter_kernel)
        threshold_sigma *= math.sqrt(float((sizes**2).sum())) / float(sizes.sum())
    room = max(sep.get_extract_pixstack(), pixels.size // FIRST_ROOM)
    while True:
        try:
            with _roomy_extraction(room):
                found: AnyArray = sep.extract(
                    pixels,
                    threshold_sigma,
                    err=noise,
                    mask=~searched,
                    minarea=minarea,
                    filter_kernel=filter_kernel,
                    filter_type="conv" if is_lowered else "matched",
                    deblend_cont=deblend_cont,
                    clean=False,
                )
        except Exception as error:
            # No pixel is in the buffer twice.
            if room >= pixels.size or BUFFER_FULL not in str(error):
                raise
            room = min(pixels.size, 4 * room)
        else:
            return found


def filtered_noise(
    pixels: FloatImage, noise: FloatImage, searched: BoolArray, kernel: FloatArray
) -> float:
    """Return the noise behind a filter over that of pixels which know nothing of each other.

    What calibration left drifts over the detector and is averaged along the way: in deep stacks it
    has the size of a star and outweighs the noise of single pixels. Only what lies below the
    background is looked at, where no star is; 1 at least, and 1 where stars leave too little of it.

    Parameters
    ----------
    pixels, noise : ndarray of float32, shape (ny, nx)
        Template without its background, and the noise of its pixels.
    searched : ndarray of bool, shape (ny, nx)
        Pixels that count.
    kernel : ndarray, shape (ky, kx)
        The filter: a column times a row, of sum 1.

    Returns
    -------
    float
        1 for white noise.
    """
    height = np.where(searched, pixels / noise, np.float32(0.0)).astype(np.float32)
    for axis in (0, 1):
        height = convolve1d(height, kernel.sum(axis=1 - axis), axis=axis, mode="constant")
    filtered = height[searched]
    below = -filtered[filtered < 0.0]
    if below.size < LEAST_BELOW * filtered.size:
        return 1.0
    white = math.sqrt(float((kernel**2).sum()))
    return max(1.0, float(np.quantile(below, ONE_SIGMA)) / white)


def stellar_filter(fwhm: float) -> FloatArray:
    """Return the matched filter of a Gaussian star, out to one FWHM: 6 % of its height."""
    half = math.ceil(fwhm)
    profile = np.exp(-0.5 * (np.arange(-half, half + 1) * FWHM_PER_SIGMA / fwhm) ** 2)
    kernel = np.outer(profile, profile)
    return np.asarray(kernel / kernel.sum())


LOWERED_REACH_FWHM = 1.25
"""Radius of the lowered filter: 1.0 found one more of 508 stars of a simulated field, 1.5 and 2.0
five and twenty fewer, each with five or six false sources."""


def lowered_filter(fwhm: float) -> FloatArray:
    """Return the Gaussian of a star less its mean near it, so that it sums to zero [1]_.

    Flat light and slopes leave nothing behind it. So the wings of a bright star do not carry all
    that lies in them above the threshold, as they do behind a filter that is positive everywhere:
    there the stars of a crowded field are one isophote, of which deblending takes what stands out
    of the whole.

    References
    ----------
    .. [1] P. B. Stetson, 1987, PASP 99, 191 (DAOPHOT's FIND).
    """
    half = math.ceil(LOWERED_REACH_FWHM * fwhm)
    offset = np.arange(-half, half + 1)
    distance = np.hypot(offset[:, np.newaxis], offset)
    inside = distance <= LOWERED_REACH_FWHM * fwhm
    star = np.exp(-0.5 * (distance * FWHM_PER_SIGMA / fwhm) ** 2)
    kernel = np.where(inside, star - star[inside].mean(), 0.0)
    return np.asarray(kernel / np.clip(kernel, 0.0, None).sum())


@contextmanager
def _roomy_extraction(n_pixels: int) -> Iterator[None]:
    """Lend SEP's extractor room for so many pixels of sources, and take it back."""
    stack, limit = sep.get_extract_pixstack(), sep.get_sub_object_limit()
    sep.set_extract_pixstack(n_pixels)
    sep.set_sub_object_limit(max(limit, 8192))
    try:
        yield
    finally:
        sep.set_extract_pixstack(stack)
        sep.set_sub_object_limit(limit)
