"""Histograms of the pixels of a row of boxes, filled row by row while a row is in the cache."""

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatArray, FloatImage, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.kernels.prefetch import RUN, fetch_run

LEVELS = 256
"""Steps of the histogram."""

STEPS_PER_SIGMA = 10.0
"""Steps per σ of a sky pixel: the histogram reaches ±12.8σ, and its steps add 0.1 % to σ."""

PLACES = LEVELS + 3
"""Of a counter: below the first step, the steps, above the last one, and the bad pixels."""

COUNTED = 4 * PLACES
"""A box has four counters in turns: one place raised twice at once makes the processor wait."""

TOGETHER = 2**16 // COUNTED
"""Boxes whose places 16 bits can tell apart: half as many bytes as of 32."""


@compiled
def steps_about(centre: float, scale: float) -> tuple[float, float]:
    """Return the lower edge of the first step of a histogram, and the width of the steps."""
    width = np.float32(scale / STEPS_PER_SIGMA)
    return np.float32(centre - 0.5 * LEVELS * width), width


@compiled
def lay_out(
    centre: FloatArray,
    scale: FloatArray,
    box_x: int,
    zero: FloatImage,
    per_width: FloatImage,
    counter: AnyArray,
) -> None:
    """Write for each pixel of a row how the histogram of its box counts it.

    Parameters
    ----------
    centre, scale : ndarray, shape (mx,)
        Guessed sky and noise of the boxes; a scale of 0 for a box without any good pixel.
    box_x : int
        Width of a box; the last one may be narrower.
    zero, per_width : ndarray of float32, shape (nx,)
        Written: lower edge of the first step, and steps per unit.
    counter : ndarray of uint16, shape (nx,)
        Written: where its counter begins, from the first box of those that are counted together.
    """
    for box in range(centre.size):
        edge, width = steps_about(centre[box], scale[box])
        per_step = np.float32(1.0) / width if width > 0.0 else np.float32(0.0)
        start = COUNTED * (box % TOGETHER)
        for x in range(box * box_x, min((box + 1) * box_x, zero.size)):
            zero[x], per_width[x], counter[x] = edge, per_step, start + PLACES * (x & 3)


@compiled
def find_places(
    values: FloatImage,
    bits: MaskImage,
    zero: FloatImage,
    per_width: FloatImage,
    counter: AnyArray,
    places: AnyArray,
) -> None:
    """Write for each pixel of a row the index at which the histograms count it, uint16."""
    bottom, top = np.float32(0.0), np.float32(LEVELS + 1)
    for i in range(np.uint64(values.size)):
        place = (values[i] - zero[i]) * per_width[i] + np.float32(1.0)
        # Not a number is neither above nor below, and so a bad pixel.
        is_good = (bits[i] == 0) & ((place > bottom) | (place <= bottom))
        place = place if place > bottom else bottom
        place = place if place < top else top
        step = np.int32(place) if is_good else np.int32(PLACES - 1)
        places[i] = np.uint16(counter[i] + step)


@compiled
def count_places(
    places: AnyArray, box_x: int, histograms: AnyArray, ahead: tuple[AnyArray, ...], following: int
) -> None:
    """Count the pixels of a row at their places in the histograms of all boxes.

    Parameters
    ----------
    places : ndarray of uint16, shape (nx,)
        Of :func:`find_places`.
    box_x : int
        Width of a box.
    histograms : ndarray of int32, shape (mx · COUNTED,)
        Changed.
    ahead : tuple of six ndarray, shape (ny · nx,) or (0,)
        What a later row needs: asked for meanwhile, since counting leaves the memory idle.
    following : int
        First element of that row.
    """
    first, second, third, fourth, fifth, sixth = ahead
    width = TOGETHER * box_x
    for start in range(0, places.size, width):
        counters, end = histograms[start // box_x * COUNTED :], min(places.size, start + width)
        for left in range(start, end, RUN):
            fetch_run(first, following + left)
            fetch_run(second, following + left)
            fetch_run(third, following + left)
            fetch_run(fourth, following + left)
            fetch_run(fifth, following + left)
            fetch_run(sixth, following + left)
            for i in range(np.uint64(left), np.uint64(min(end, left + RUN))):
                counters[places[i]] += np.int32(1)


@compiled
def count_box(
    pixels: FloatImage,
    mask: MaskImage,
    edges: tuple[int, int, int, int],
    zero: float,
    width: float,
    histogram: AnyArray,
) -> None:
    """Count the pixels of one box by other steps, all in the first of its counters."""
    first, last, left, right = edges
    size = right - left
    zeros, per_widths = np.full(size, zero), np.full(size, np.float32(1.0) / width)
    counter, places = np.zeros(size, np.uint16), np.empty(size, np.uint16)
    histogram[:] = 0
    for y in range(first, last):
        part, bits = pixels[y, left:right], mask[y, left:right]
        find_places(part, bits, zeros, per_widths, counter, places)
        for i in range(np.uint64(size)):
            histogram[places[i]] += np.int32(1)


@compiled
def join_counters(histogram: AnyArray) -> None:
    """Sum the four counters of a box up in the first one."""
    for step in range(PLACES):
        for counter in range(1, 4):
            histogram[step] += histogram[counter * PLACES + step]
