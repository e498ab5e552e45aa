"""A compiled reader of light."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tianyu.pipelines.science.aperturegeometry import ApertureGeometry
from tianyu.pipelines.science.arrays import AnyArray, FloatArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.centroids import CENTROID_ROUNDS
from tianyu.pipelines.science.footprints import Footprints
from tianyu.pipelines.science.gaussian import FWHM_PER_SIGMA
from tianyu.pipelines.science.kernels.calibration import NO_RAW_ROWS, RawRows
from tianyu.pipelines.science.kernels.centroid import window_steps
from tianyu.pipelines.science.kernels.ringpixels import ring_layout
from tianyu.pipelines.science.kernels.starcells import StarCells
from tianyu.pipelines.science.kernels.stars import light_of_frame, rows_of_source
from tianyu.pipelines.science.light import Light, half_sides
from tianyu.pipelines.science.stamps import pixel_distance

BLOCK = 2048
"""Nothing but the cores of so many sources is kept at once: what a call costs beside is shared."""


class _Found:
    """Arrays that the kernels fill."""

    def __init__(self, n: int, geometry: ApertureGeometry, sky_rms: FloatArray) -> None:
        half, outer = half_sides(geometry)
        self.radii = np.array(geometry.radii_pix, dtype=np.float64)
        self.layout = ring_layout(geometry.annulus_pix, outer)
        self.disk: IntArray = np.flatnonzero(pixel_distance(2 * half + 1) <= self.radii[0])
        self.noise = np.ascontiguousarray(sky_rms, dtype=np.float64)
        self.table = np.empty((4, n))
        self.circles = np.empty((2, n, len(self.radii)))
        self.flags: NDArray[np.uint16] = np.empty((n, len(self.radii)), np.uint16)
        self.cores: FloatImage = np.empty((n, 2 * half + 1, 2 * half + 1), np.float32)

    @property
    def inputs(
        self,
    ) -> tuple[FloatArray, IntArray, FloatArray, float, IntArray, MaskImage, MaskImage]:
        """The kernels' arguments that say where to look."""
        return self.radii, self.disk, self.noise, *self.layout.arguments

    @property
    def outputs(self) -> tuple[FloatArray, FloatArray, AnyArray, FloatImage]:
        """The kernels' arguments that they write."""
        return self.table, self.circles, self.flags, self.cores

    def light(self) -> Light:
        """Return what has been written."""
        background, rms, n_annulus, peak = self.table
        sums, areas = self.circles
        n = n_annulus.astype(np.int64)
        return Light(sums, areas, self.flags, background, rms, n, peak, self.cores)


def _steps(
    cores: FloatImage, background: FloatArray, x: FloatArray, y: FloatArray, fwhm: float
) -> FloatArray:
    sigma = fwhm / FWHM_PER_SIGMA
    return window_steps(cores, background, x, y, sigma, fwhm, CENTROID_ROUNDS)


@dataclass(frozen=True, eq=False)
class CompiledLight:
    """Light of a calibrated, sky-subtracted frame; C-contiguous float32 and uint8.

    Pixels in the disks of `stars` are taken as if they were marked UNDER_STAR.
    """

    block: ClassVar[int] = BLOCK
    """Sources read at once."""

    pixels: FloatImage
    mask: MaskImage
    stars: StarCells

    @classmethod
    def of(
        cls, pixels: FloatImage, mask: MaskImage, stars: Footprints | None = None
    ) -> "CompiledLight":
        """Return the reader of a frame and its mask, shape ``(ny, nx)``."""
        return cls(pixels, mask, StarCells.of(stars, (pixels.shape[0], pixels.shape[1])))

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)`` of the frame."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def light(
        self, x: FloatArray, y: FloatArray, geometry: ApertureGeometry, sky_rms: FloatArray
    ) -> Light:
        """Read the light about positions on the frame."""
        found = _Found(len(x), geometry, sky_rms)
        ny = self.shape[0]
        frame = NO_RAW_ROWS, self.pixels, self.mask, ny, np.array([0, ny])
        light_of_frame(*frame, x, y, *found.inputs, *self.stars.arguments, *found.outputs)
        return found.light()

    def steps(
        self, cores: FloatImage, background: FloatArray, x: FloatArray, y: FloatArray, fwhm: float
    ) -> FloatArray:
        """Return the steps from positions in cores to their centroids."""
        return _steps(cores, background, x, y, fwhm)


class RawLight:
    """Light of a frame of which few rows are ever calibrated at once: those about a source.

    Sources are best read in the order of their rows.

    Parameters
    ----------
    raw : RawRows
        What makes the frame.
    stars : StarCells
        As of :class:`CompiledLight`.
    """

    block: ClassVar[int] = BLOCK
    """Sources read at once."""

    def __init__(self, raw: RawRows, stars: StarCells) -> None:
        self._raw, self._stars = raw, stars
        self._pixels: FloatImage = np.empty((0, 0), np.float32)
        self._mask: MaskImage = np.empty((0, 0), np.uint8)
        self._held = np.zeros(2, np.int64)

    @classmethod
    def of(cls, raw: RawRows, stars: Footprints | None = None) -> "RawLight":
        """Return the reader of a frame."""
        return cls(raw, StarCells.of(stars, (raw.counts.shape[0], raw.counts.shape[1])))

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)`` of the frame."""
        return self._raw.counts.shape[0], self._raw.counts.shape[1]

    def light(
        self, x: FloatArray, y: FloatArray, geometry: ApertureGeometry, sky_rms: FloatArray
    ) -> Light:
        """Read the light about positions on the frame."""
        found = _Found(len(x), geometry, sky_rms)
        slots = rows_of_source(found.layout.spans)
        # A row more, since pixels are copied in blocks that may end beyond their row.
        size = slots + 1, self.shape[1]
        if self._pixels.shape != size:
            self._pixels, self._mask = np.empty(size, np.float32), np.empty(size, np.uint8)
            self._held[:] = 0
        frame = self._raw, self._pixels, self._mask, slots, self._held
        light_of_frame(*frame, x, y, *found.inputs, *self._stars.arguments, *found.outputs)
        return found.light()

    def steps(
        self, cores: FloatImage, background: FloatArray, x: FloatArray, y: FloatArray, fwhm: float
    ) -> FloatArray:
        """Return the steps from positions in cores to their centroids."""
        return _steps(cores, background, x, y, fwhm)
