"""The sky of a frame: a coarse mesh, and the same image from it every time.

Source Extractor's background (clipped mode per box, 3×3 median filter) is sampled at the
centres of its boxes. Only that mesh is kept, a few kilobytes, and every sky image is our own
natural cubic spline through it, so a frame that is read twice has the same sky subtracted
twice.
"""

import struct
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Self

import numpy as np
import sep
from numpy.typing import NDArray

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import AnyArray, FloatArray, FloatImage, MaskImage
from tianyu.pipelines.science.meshspline import curvatures, interpolate, spline_terms

_MAGIC = b"TSKY"
_VERSION = 1
_HEADER = struct.Struct("<4sH6I")
"""Magic, version, frame (ny, nx), box (ny, nx), mesh (ny, nx); little-endian, no padding."""

_LEAST_GOOD_FRACTION = 0.5
"""Source Extractor ignores a box with fewer good pixels, and is silent when all are such."""

_LEAST_BOX_SAMPLES = 8
"""Fewer sampled pixels on a side of a box, or of a frame, make no meaningful histogram."""


@dataclass(frozen=True, eq=False)
class SkyModel:
    """Level and noise of the sky on a mesh of boxes.

    Attributes
    ----------
    mesh : ndarray of float32, shape (my, mx)
        Sky level at the centre of each box, ADU.
    rms_mesh : ndarray of float32, shape (my, mx)
        Standard deviation of a sky pixel in each box, ADU.
    box_pix : tuple of int
        Height and width of a box, pixels. Box (k, l) is centred on the pixel coordinates
        ``y = (k + 1/2)·height − 1/2``, ``x = (l + 1/2)·width − 1/2``.
    shape : tuple of int
        ``(ny, nx)`` of the frame.
    """

    mesh: FloatImage
    rms_mesh: FloatImage
    box_pix: tuple[int, int]
    shape: tuple[int, int]

    @cached_property
    def level(self) -> float:
        """Median of the mesh, ADU."""
        return float(np.median(self.mesh))

    @cached_property
    def rms(self) -> float:
        """Median noise of a sky pixel, ADU."""
        return float(np.median(self.rms_mesh))

    def image(self) -> FloatImage:
        """Sky level of every pixel, ADU, shape ``(ny, nx)``; the same each time it is called."""
        weights_y, weights_x = (
            _pixel_weights(nodes, box, size)
            for nodes, box, size in zip(self.mesh.shape, self.box_pix, self.shape, strict=True)
        )
        columns: FloatImage = weights_y @ self.mesh
        image: FloatImage = columns @ weights_x.T
        return image

    def at(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Sky level, ADU, at positions (pixels, shape ``(n,)``).

        Positions beyond the frame get the level of the nearest edge.
        """
        return self._interpolate(self.mesh, x, y)

    def rms_at(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Noise of a sky pixel, ADU, at positions (pixels, shape ``(n,)``)."""
        return self._interpolate(self.rms_mesh, x, y)

    def _interpolate(self, mesh: FloatImage, x: FloatArray, y: FloatArray) -> FloatArray:
        ny, nx = self.shape
        return interpolate(mesh, self.box_pix, np.clip(x, 0, nx - 1), np.clip(y, 0, ny - 1))

    def to_bytes(self) -> bytes:
        """Pack the model: a header of 30 bytes and two meshes of little-endian float32."""
        header = _HEADER.pack(_MAGIC, _VERSION, *self.shape, *self.box_pix, *self.mesh.shape)
        meshes = np.stack([self.mesh, self.rms_mesh]).astype("<f4")
        return header + meshes.tobytes()

    @classmethod
    def from_bytes(cls, packed: bytes) -> Self:
        """Unpack what :meth:`to_bytes` has made.

        Raises
        ------
        UnusableDataError
            If the bytes are not a sky model of a known version, or are cut short.
        """
        if len(packed) < _HEADER.size or not packed.startswith(_MAGIC):
            raise UnusableDataError(
                f"{len(packed)} bytes starting with {packed[:4]!r} are not a sky model; "
                "measure the sky of the frame again"
            )
        _, version, ny, nx, box_y, box_x, mesh_ny, mesh_nx = _HEADER.unpack_from(packed)
        expected = _HEADER.size + 2 * 4 * mesh_ny * mesh_nx
        if version != _VERSION or len(packed) != expected:
            raise UnusableDataError(
                f"sky model of version {version} with {len(packed)} bytes, expected version "
                f"{_VERSION} with {expected}; measure the sky of the frame again"
            )
        values = np.frombuffer(packed, "<f4", offset=_HEADER.size).astype(np.float32)
        mesh, rms_mesh = values.reshape(2, mesh_ny, mesh_nx)
        return cls(mesh, rms_mesh, (box_y, box_x), (ny, nx))


def measure_sky(
    pixels: AnyArray, mask: MaskImage | None = None, *, box_pix: int = 64, sample_step: int = 1
) -> SkyModel:
    """Measure the sky with Source Extractor's background [1]_ [2]_.

    Parameters
    ----------
    pixels : ndarray, shape (ny, nx)
        Calibrated frame, ADU. Only read.
    mask : ndarray of uint8, shape (ny, nx), optional
        Pixels with any bit set are left out; so are pixels that are not finite.
    box_pix : int
        Wanted side of a box, pixels: several times the stars' size. The sides taken are the
        nearest ones with which the last box of a row or column is at least half a box.
    sample_step : int
        Use one of n×n pixels: some three times faster for n = 2, for a noise of the mesh that
        is n times larger and with 64-pixel boxes still a few per cent of a pixel's.

    Returns
    -------
    SkyModel
        Mesh of level and noise.

    Raises
    ------
    UnusableDataError
        If no box has half of its pixels good, or the frame is smaller than 8×8 samples.
    ValueError
        If `box_pix` and `sample_step` leave fewer than 8×8 pixels to a box.

    References
    ----------
    .. [1] E. Bertin and S. Arnouts, 1996, A&AS 117, 393, section 2.
    .. [2] K. Barbary, 2016, JOSS 1(6), 58.

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(0.0, 5.0, (128, 128)).astype(np.float32)
    >>> sky = measure_sky(noise + 1000)
    >>> bool(abs(sky.level - 1000) < 0.5), bool(abs(sky.rms - 5) < 0.2)
    (True, True)
    """
    if sample_step < 1 or box_pix // sample_step < _LEAST_BOX_SAMPLES:
        raise ValueError(
            f"boxes of {box_pix} px sampled every {sample_step} px: give at least "
            f"{_LEAST_BOX_SAMPLES} samples to the side of a box"
        )
    if pixels.ndim != 2 or min(pixels.shape) < _LEAST_BOX_SAMPLES * sample_step:
        raise UnusableDataError(
            f"a frame of shape {pixels.shape} sampled every {sample_step} px is too small: the "
            f"sky needs {_LEAST_BOX_SAMPLES} samples along both axes"
        )
    data, bad = _samples(pixels, mask, sample_step)
    box_y, box_x = mesh_boxes(data.shape, box_pix // sample_step)
    if bad is not None:
        _require_good_box(bad, box_y, box_x)
    background = sep.Background(data, mask=bad, bw=box_x, bh=box_y)
    ny, nx = pixels.shape
    return SkyModel(
        mesh=_at_box_centres(background.back(), box_y, box_x),
        rms_mesh=_at_box_centres(background.rms(), box_y, box_x),
        box_pix=(box_y * sample_step, box_x * sample_step),
        shape=(ny, nx),
    )


def _samples(
    pixels: AnyArray, mask: MaskImage | None, step: int
) -> tuple[FloatImage, NDArray[np.bool_] | None]:
    """Take the sampled pixels as native contiguous float32, and which of them are bad."""
    data = np.ascontiguousarray(_staggered(pixels, step), dtype=np.float32)
    bad = None if mask is None else _staggered(mask, step) != 0
    with np.errstate(over="ignore", invalid="ignore"):
        all_finite = np.isfinite(data.sum())  # cheaper than looking at each of them
    if not all_finite:
        finite = np.isfinite(data)
        bad = ~finite if bad is None else bad | ~finite
    return data, bad


def _staggered(image: AnyArray, step: int) -> AnyArray:
    """One pixel of every `step`×`step`, each time another one.

    Row i of the result is from row ``step·i + i mod step``, columns likewise. Always the same
    one would be biased: many detectors have odd rows or columns with a level of their own.
    """
    if step == 1:
        return image
    sampled = np.empty((image.shape[0] // step, image.shape[1] // step), image.dtype)
    for a, b in np.ndindex(step, step):
        part = sampled[a::step, b::step]
        strided = image[(step + 1) * a :: step**2, (step + 1) * b :: step**2]
        part[:] = strided[: part.shape[0], : part.shape[1]]
    return sampled


def mesh_boxes(shape: tuple[int, ...], wanted: int) -> tuple[int, int]:
    """Return height and width of the boxes of a mesh.

    Parameters
    ----------
    shape : (int, int)
        ``(ny, nx)`` of the frame.
    wanted : int
        Wanted side of a box, pixels.

    Raises
    ------
    UnusableDataError
        If the frame is too small for a mesh.
    ValueError
        If the boxes are.
    """
    if wanted < _LEAST_BOX_SAMPLES:
        raise ValueError(f"boxes of {wanted} px: give at least {_LEAST_BOX_SAMPLES} to a side")
    if len(shape) != 2 or min(shape) < _LEAST_BOX_SAMPLES:
        raise UnusableDataError(
            f"a frame of shape {shape} is too small: the sky needs {_LEAST_BOX_SAMPLES} samples "
            "along both axes"
        )
    return _box_side(shape[0], wanted), _box_side(shape[1], wanted)


@lru_cache(maxsize=64)
def _box_side(size: int, wanted: int) -> int:
    """Side nearest to the wanted one whose last box is whole or at least half a box.

    A sliver at the edge would give a node from few pixels, centred outside the frame.

    >>> _box_side(2048, 64), _box_side(650, 64), _box_side(500, 64), _box_side(40, 64)
    (64, 65, 64, 40)
    """
    wanted = min(size, wanted)
    nearest = sorted(range(1, size + 1), key=lambda side: abs(side - wanted))
    return next(side for side in nearest if size % side == 0 or 2 * (size % side) > side)


def _require_good_box(bad: NDArray[np.bool_], box_y: int, box_x: int) -> None:
    """Refuse a frame whose every box is too bad for Source Extractor."""
    if np.count_nonzero(bad) <= (1 - _LEAST_GOOD_FRACTION) * min(bad.size, box_y * box_x):
        return  # not even one box can be
    starts_y, starts_x = (
        np.arange(0, n, box) for n, box in zip(bad.shape, (box_y, box_x), strict=True)
    )
    n_bad = np.add.reduceat(np.add.reduceat(bad, starts_y, axis=0, dtype=np.int64), starts_x, 1)
    sides_y = np.diff(np.append(starts_y, bad.shape[0]))
    sides_x = np.diff(np.append(starts_x, bad.shape[1]))
    if np.all(n_bad > (1 - _LEAST_GOOD_FRACTION) * np.outer(sides_y, sides_x)):
        raise no_sky(float(bad.mean()), (box_y, box_x))


def no_sky(bad_fraction: float, box: tuple[int, int]) -> UnusableDataError:
    """Build the error for a frame of which no box, of that height and width, can be measured."""
    return UnusableDataError(
        f"{bad_fraction:.1%} of the pixels are masked or not finite and no box of "
        f"{box[0]}×{box[1]} samples has half of its pixels good: there is no sky to measure"
    )


def _at_box_centres(image: FloatImage, box_y: int, box_x: int) -> FloatImage:
    """Values of Source Extractor's spline at its own nodes.

    It puts them at ``(l + 1/2)·width − 1/2`` in x, and, half a pixel off, at
    ``(k + 1/2)·height`` in y. Where that falls between two pixels their mean is taken.
    """
    first_y, second_y = _central_pixels(image.shape[0], box_y, shift=1)
    first_x, second_x = _central_pixels(image.shape[1], box_x, shift=0)
    rows = 0.5 * (image[first_y] + image[second_y])
    return (0.5 * (rows[:, first_x] + rows[:, second_x])).astype(np.float32)


def _central_pixels(
    size: int, box: int, *, shift: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the two pixels around (or twice the one at) each node, within the frame."""
    twice_node = (2 * np.arange(-(-size // box)) + 1) * box - 1 + shift
    last = size - 1
    return np.minimum(twice_node // 2, last), np.minimum((twice_node + 1) // 2, last)


def spline_weights(n_nodes: int, box: int, position: FloatArray) -> FloatArray:
    """Weights of the nodes at positions along one axis, shape ``(n, n_nodes)``.

    A natural cubic spline is linear in its nodes, so a matrix does for every mesh; beyond the
    outermost nodes it is a straight line.
    """
    nodes, terms = spline_terms(n_nodes, box, position)
    of_values, of_curvatures = np.zeros((2, position.size, n_nodes))
    rows = np.arange(position.size)
    for node, value, curvature in zip(nodes, terms[:2], terms[2:], strict=True):
        of_values[rows, node] += value
        of_curvatures[rows, node] += curvature
    weights: FloatArray = of_values + of_curvatures @ curvatures(n_nodes)
    return weights


@lru_cache(maxsize=16)
def _pixel_weights(n_nodes: int, box: int, size: int) -> FloatImage:
    """Weights for every pixel of one axis; the same for all frames of a camera."""
    weights = spline_weights(n_nodes, box, np.arange(size, dtype=np.float64)).astype(np.float32)
    weights.setflags(write=False)
    return weights
