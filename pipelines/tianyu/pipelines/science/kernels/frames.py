"""A whole frame by kernels: calibrated, its sky measured and taken off, its maxima found."""

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.calibrate import Calibrator
from tianyu.pipelines.science.kernels.calibration import (
    KernelCalibration,
    RawRows,
)
from tianyu.pipelines.science.kernels.maxima import subtract_sky
from tianyu.pipelines.science.kernels.meshfilter import fill_bad_boxes, median_filtered
from tianyu.pipelines.science.kernels.skyimage import row_cubics, row_places
from tianyu.pipelines.science.kernels.skymesh import calibrate_and_measure
from tianyu.pipelines.science.overscan import RawFrame
from tianyu.pipelines.science.sky import SkyModel, mesh_boxes, no_sky
from tianyu.pipelines.science.starlist import THRESHOLD_SIGMA
from tianyu.pipelines.science.stars import MIN_AREA_PIX


def kernel_calibration(calibrator: Calibrator) -> KernelCalibration:
    """Return what a calibrator has prepared as kernels take it."""
    return KernelCalibration.of(
        calibrator.offset, calibrator.response, calibrator.fixed_mask, calibrator.saturation
    )


def measure(
    raw: RawFrame, calibrator: Calibrator, box_pix: int, pixels: FloatImage, mask: MaskImage
) -> tuple[SkyModel, IntArray]:
    """Calibrate a frame of integers of 16 bits, measure its sky and take it off.

    Parameters
    ----------
    raw : RawFrame
    calibrator : Calibrator
    box_pix : int
        Wanted side of a box of the sky's mesh, pixels.
    pixels, mask : ndarray of float32 and of uint8, shape (ny, nx)
        Written.

    Returns
    -------
    sky : SkyModel
    maxima : ndarray of int64, shape (n,)
        Flat indices of the maxima at the threshold at which stars are counted.

    Raises
    ------
    UnusableDataError
        If the frame has no sky to speak of.
    """
    counts = np.ascontiguousarray(raw.pixels)
    sky = _calibrate_and_measure_sky(counts, raw.overscan, calibrator, box_pix, pixels, mask)
    least = THRESHOLD_SIGMA * sky.rms if sky.rms > 0 else np.inf
    maxima = subtract_sky(
        pixels,
        mask,
        row_cubics(sky),
        sky.box_pix[1],
        row_places(sky.mesh.shape[1], sky.box_pix[1], sky.shape[1]),
        np.array([least], np.float32),
        least,
        MIN_AREA_PIX,
    )
    return sky, maxima


def _calibrate_and_measure_sky(
    counts: AnyArray,
    overscan: FloatImage | None,
    calibrator: Calibrator,
    box_pix: int,
    pixels: FloatImage,
    mask: MaskImage,
) -> SkyModel:
    """Calibrate a frame, and measure the mesh of its sky in the same sweep."""
    ny, nx = pixels.shape
    box_y, box_x = mesh_boxes((ny, nx), box_pix)
    level = np.empty((-(-ny // box_y), -(-nx // box_x)))
    sigma = np.empty_like(level)
    arguments = kernel_calibration(calibrator).arguments(overscan)
    calibrate_and_measure(counts, *arguments, pixels, mask, (box_y, box_x), level, sigma)
    calibrator.fill_holes(pixels, mask)
    if np.isnan(level).all():
        raise no_sky(float(np.mean(mask != 0)), (box_y, box_x))
    return SkyModel(_smoothed(level), _smoothed(sigma), (box_y, box_x), (ny, nx))


def _smoothed(mesh: FloatArray) -> FloatImage:
    fill_bad_boxes(mesh)
    return median_filtered(mesh).astype(np.float32)


def raw_rows(raw: RawFrame, calibrator: Calibrator, sky: SkyModel) -> RawRows:
    """Return what makes calibrated rows of a frame of integers of 16 bits, less what is known.

    Parameters
    ----------
    raw : RawFrame
    calibrator : Calibrator
    sky : SkyModel
        That an earlier pass found.
    """
    counts = np.ascontiguousarray(raw.pixels)
    return RawRows(
        counts,
        *kernel_calibration(calibrator).arguments(raw.overscan),
        row_cubics(sky),
        sky.box_pix[1],
        row_places(sky.mesh.shape[1], sky.box_pix[1], counts.shape[1]),
    )
