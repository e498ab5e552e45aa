"""A reader of light on a device."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tianyu.pipelines.science.aperturegeometry import ApertureGeometry
from tianyu.pipelines.science.arrays import FloatArray, FloatImage
from tianyu.pipelines.science.centroids import CENTROID_ROUNDS
from tianyu.pipelines.science.gaussian import FWHM_PER_SIGMA
from tianyu.pipelines.science.gpu.annulus import local_background
from tianyu.pipelines.science.gpu.circles import circle_sums
from tianyu.pipelines.science.gpu.namespace import ArrayNamespace, DeviceArray, to_host
from tianyu.pipelines.science.gpu.stamps import cut_stamps
from tianyu.pipelines.science.kernels.centroid import window_steps
from tianyu.pipelines.science.light import Light, half_sides
from tianyu.pipelines.science.stamps import LEFT_OUT, UNDER_STAR, pixel_distance

_NOT_UNDER_STAR = 0xFF ^ int(UNDER_STAR)


@dataclass(frozen=True, eq=False)
class DeviceLight:
    """Light of a calibrated, sky-subtracted frame that lies on a device.

    Parameters
    ----------
    pixels, mask : array of float32 and of uint8, shape (ny, nx)
    xp : namespace
    """

    block: ClassVar[int] = 4096
    """Sources read at once: hundreds of launches are paid for each time."""

    pixels: DeviceArray
    mask: DeviceArray
    xp: ArrayNamespace

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)`` of the frame."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def light(
        self,
        x: FloatArray,
        y: FloatArray,
        geometry: ApertureGeometry,
        sky_rms: FloatArray,  # noqa: ARG002 - sorting needs no guess
    ) -> Light:
        """Read the light about positions on the frame."""
        xp, radii = self.xp, np.array(geometry.radii_pix, dtype=np.float64)
        half, outer = half_sides(geometry)
        stamps, bits = cut_stamps(self.pixels, self.mask, x, y, outer, xp)
        background, rms, n_annulus = local_background(stamps, bits, geometry.annulus_pix, xp)
        core = (slice(None), *(slice(outer - half, outer + half + 1),) * 2)
        bits = bits[core] & _NOT_UNDER_STAR
        cores = xp.where((bits & int(LEFT_OUT)) != 0, 0.0, stamps[core])
        sums, areas, flags = circle_sums(cores, bits, x - np.rint(x), y - np.rint(y), radii, xp)
        disk = xp.asarray(np.flatnonzero(pixel_distance(2 * half + 1) <= radii[0]))
        peak = cores.reshape(len(cores), -1)[:, disk].max(axis=1).astype(xp.float64)
        # One transfer for all numbers of doubles: each waits for the device.
        columns = [v[:, np.newaxis] for v in (background, rms, n_annulus.astype(xp.float64), peak)]
        table = to_host(xp.concatenate([sums, areas, *columns], axis=1))
        r = len(radii)
        return Light(
            sums=table[:, :r],
            areas=table[:, r : 2 * r],
            flags=to_host(flags),
            background=table[:, 2 * r],
            background_rms=table[:, 2 * r + 1],
            n_annulus=table[:, 2 * r + 2].astype(np.int64),
            peak=table[:, 2 * r + 3],
            cores=to_host(cores),
        )

    def steps(
        self, cores: FloatImage, background: FloatArray, x: FloatArray, y: FloatArray, fwhm: float
    ) -> FloatArray:
        """Return the steps from positions in cores to their centroids.

        On the host: only bright sources have any, and their cores have come back already.
        """
        return window_steps(cores, background, x, y, fwhm / FWHM_PER_SIGMA, fwhm, CENTROID_ROUNDS)
