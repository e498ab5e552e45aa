"""Squares of pixels about sources."""

import numpy as np

from tianyu.pipelines.science.arrays import FloatImage, MaskImage
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.stamps import LEFT_OUT, OFF_DETECTOR

_NOT_FINITE = int(MaskBit.NOT_FINITE)
_OFF_DETECTOR, _LEFT_OUT = int(OFF_DETECTOR), int(LEFT_OUT)


@compiled
def cut_stamp(
    pixels: FloatImage,
    mask: MaskImage,
    slots: int,
    ny: int,
    y: int,
    x: int,
    stamp: FloatImage,
    bits: MaskImage,
) -> None:
    """Copy the square of pixels about (x, y) from a calibrated frame, as ``stamps.cut_stamps``.

    Parameters
    ----------
    pixels, mask, slots, ny
        As of :func:`~.stars.light_of_frame`.
    y, x : int
        Middle of the stamp.
    stamp, bits : ndarray of float32 and of uint8, shape (s, s)
        Written. Beyond the frame the nearest pixel is repeated, and marked.
    """
    nx = pixels.shape[1]
    size = stamp.shape[0]
    top, left = y - size // 2, x - size // 2
    whole = top >= 0 and left >= 0 and top + size <= ny and left + size <= nx
    for j in range(size):
        row = min(max(top + j, 0), ny - 1)
        slot = row % slots
        if whole:
            values, marks = pixels[slot, left : left + size], mask[slot, left : left + size]
            for i in range(size):
                finite = abs(values[i]) < np.inf
                stamp[j, i] = values[i]
                bits[j, i] = marks[i] | (0 if finite else _NOT_FINITE)
            continue
        for i in range(size):
            column = min(max(left + i, 0), nx - 1)
            off = row != top + j or column != left + i
            finite = abs(pixels[slot, column]) < np.inf
            stamp[j, i] = pixels[slot, column]
            bits[j, i] = (_OFF_DETECTOR if off else mask[slot, column]) | (
                0 if finite else _NOT_FINITE
            )


@compiled
def cut_core(
    pixels: FloatImage,
    mask: MaskImage,
    slots: int,
    ny: int,
    y: int,
    x: int,
    ignored: int,
    core: FloatImage,
    bits: MaskImage,
) -> bool:
    """Cut a stamp with zeros where a pixel is to be left out, and tell whether any is marked.

    Parameters
    ----------
    pixels, mask, slots, ny, y, x
        As of :func:`cut_stamp`.
    ignored : int
        Bits of the mask that do no harm.
    core : ndarray of float32, shape (s, s)
        Written.
    bits : ndarray of uint8, shape (s, s)
        Written, but for the ignored ones, if any pixel is marked.
    """
    harmful = np.uint8(0xFF ^ ignored)
    if _cut_unmarked(pixels, mask, slots, ny, y, x, harmful, core):
        return False
    cut_stamp(pixels, mask, slots, ny, y, x, core, bits)
    flat, marks = core.reshape(-1), bits.reshape(-1)
    for i in range(marks.size):
        marks[i] &= harmful
        if marks[i] & _LEFT_OUT:
            flat[i] = np.float32(0.0)
    return True


@compiled
def _cut_unmarked(
    pixels: FloatImage,
    mask: MaskImage,
    slots: int,
    ny: int,
    y: int,
    x: int,
    harmful: int,
    core: FloatImage,
) -> bool:
    """Copy a square that lies on the frame; tell whether it does and each pixel is good."""
    nx = pixels.shape[1]
    side, half = core.shape[0], core.shape[0] // 2
    if not (half <= y < ny - half and half <= x < nx - half):
        return False
    values, marks, to = pixels.reshape(-1), mask.reshape(-1), core.reshape(-1)
    # Unsigned, or every index would be looked at whether it counts from the end.
    size, n_bad = np.uint64(side), 0
    slot = (y - half) % slots
    for j in range(size):
        start = np.uint64(slot * nx + x - half)
        slot = slot + 1 if slot + 1 < slots else 0
        for i in range(size):
            value = values[start + i]
            good = ((marks[start + i] & harmful) == 0) & (abs(value) < np.float32(np.inf))
            n_bad += 0 if good else 1
            to[j * size + i] = value
    return n_bad == 0


@compiled
def find_usable(bits: MaskImage, usable: FloatImage) -> bool:
    """Write 1 for pixels that count, 0 for those that are left out; tell whether any is.

    Parameters
    ----------
    bits, usable : ndarray of uint8 and of float32, shape (s, s)
    """
    marks, to, n_left_out = bits.reshape(-1), usable.reshape(-1), 0
    for i in range(marks.size):
        is_left_out = marks[i] & _LEFT_OUT != 0
        to[i] = np.float32(0.0) if is_left_out else np.float32(1.0)
        n_left_out += 1 if is_left_out else 0
    return n_left_out > 0
