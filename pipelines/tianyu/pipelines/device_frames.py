"""Frames that are worked on, and stay, on a GPU."""

from weakref import WeakKeyDictionary

import numpy as np

from tianyu.pipelines.measuring import FrameBuffers, MeasuredFrame
from tianyu.pipelines.science.apertureshape import ROUND, ApertureShape
from tianyu.pipelines.science.arrays import AnyArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.calibrate import Calibrator
from tianyu.pipelines.science.ellipses import EllipticalLight
from tianyu.pipelines.science.footprints import Footprints
from tianyu.pipelines.science.gpu.calibration import DeviceCalibration, calibrate
from tianyu.pipelines.science.gpu.disks import covered
from tianyu.pipelines.science.gpu.light import DeviceLight
from tianyu.pipelines.science.gpu.maxima import find_maxima
from tianyu.pipelines.science.gpu.namespace import ArrayNamespace, DeviceArray, to_host
from tianyu.pipelines.science.gpu.skyimage import sky_image
from tianyu.pipelines.science.gpu.skymesh import measure_sky
from tianyu.pipelines.science.gpu.stamps import copy_squares
from tianyu.pipelines.science.gpu.summing import DeviceStack
from tianyu.pipelines.science.light import LightReader
from tianyu.pipelines.science.overscan import RawFrame
from tianyu.pipelines.science.sky import SkyModel
from tianyu.pipelines.science.stack import Canvas
from tianyu.pipelines.science.stamps import UNDER_STAR
from tianyu.pipelines.science.starlist import THRESHOLD_SIGMA
from tianyu.pipelines.science.stars import ENOUGH_STARS, MAX_STARS, MIN_AREA_PIX
from tianyu.pipelines.science.windowed import FARTHEST_PIX
from tianyu.pipelines.sending import Sender, SentFrame


class FrameOnDevice(MeasuredFrame):
    """A calibrated frame without its sky, on a device.

    Whoever asks for its pixels or its mask gets them, and pays for the transfer, once.

    Parameters
    ----------
    gpu : Gpu
        Where it is.
    held : tuple of arrays
        Pixels and mask, shape (ny, nx), on the device.
    sky : SkyModel
    maxima : ndarray of int64, shape (n,), or None
        As of :class:`~tianyu.pipelines.measuring.MeasuredFrame`.
    """

    def __init__(
        self,
        gpu: "Gpu",
        held: tuple[DeviceArray, DeviceArray],
        sky: SkyModel,
        maxima: IntArray | None = None,
    ) -> None:
        fetched: dict[str, AnyArray] = {}
        for name, value in {
            "gpu": gpu, "held": held, "sky": sky, "maxima": maxima, "_fetched": fetched
        }.items():  # fmt: skip
            object.__setattr__(self, name, value)

    gpu: "Gpu"
    held: tuple[DeviceArray, DeviceArray]
    _fetched: dict[str, AnyArray]

    @property
    def pixels(self) -> FloatImage:
        """Sky-subtracted, ADU, float32, shape (ny, nx)."""
        return self._fetch("pixels", self.held[0])

    @property
    def mask(self) -> MaskImage:
        """Bits of MaskBit, uint8, shape (ny, nx)."""
        return self._fetch("mask", self.held[1])

    def with_mask(self, mask: MaskImage) -> MeasuredFrame:
        """Return the frame with another mask, shape ``(ny, nx)``."""
        held = self.held[0], self.gpu.xp.asarray(mask)
        return FrameOnDevice(self.gpu, held, self.sky, self.maxima)

    def about_stars(self) -> tuple[FloatImage, MaskImage]:
        """Return pixels and mask of which those about the brightest maxima hold.

        Only these come back, a hundredth of the frame, unless fainter stars are to be sought.
        """
        if self.maxima is None or len(self.maxima) < ENOUGH_STARS:
            return self.pixels, self.mask
        return self.gpu.about(self.held, self.maxima)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)``."""
        return self.held[0].shape[0], self.held[0].shape[1]

    def reader(self, stars: Footprints | None, shape: ApertureShape = ROUND) -> LightReader:
        """Return what reads the light about its sources; ellipses are summed on the host."""
        pixels, mask = self.held
        if stars is not None:
            mask = mask | covered(stars, self.shape, self.gpu.xp) * int(UNDER_STAR)
        circles = DeviceLight(pixels, mask, self.gpu.xp)
        if shape.is_round:
            return circles
        return EllipticalLight(circles, self.pixels, to_host(mask))

    def _fetch(self, name: str, held: DeviceArray) -> AnyArray:
        if name not in self._fetched:
            self._fetched[name] = to_host(held)
        return self._fetched[name]


class Gpu:
    """What works on frames of 16 bits on a device.

    Parameters
    ----------
    xp : namespace
        Of its arrays: `cupy`, or another whose arrays behave like those of NumPy.
    """

    def __init__(self, xp: ArrayNamespace) -> None:
        self.xp = xp
        self._sender = Sender(xp) if hasattr(xp, "cuda") else None
        self._calibrations: WeakKeyDictionary[Calibrator, DeviceCalibration] = WeakKeyDictionary()
        self._room = FrameBuffers()

    def sent(self, raw: RawFrame) -> RawFrame:
        """Return a raw frame whose counts are on their way; other threads may go on meanwhile."""
        is_short = raw.pixels.dtype.kind in "ui" and raw.pixels.dtype.itemsize <= 2
        if self._sender is None or not is_short or raw.pixels.ndim != 2:
            return raw
        return self._sender.send(raw)

    def measure_frame(
        self, raw: RawFrame, calibrator: Calibrator, sky_box_pix: int
    ) -> FrameOnDevice:
        """Calibrate a frame and take its sky off.

        Parameters
        ----------
        raw : RawFrame
            Of 16 bits, of the shape of the calibration.
        calibrator : Calibrator
        sky_box_pix : int
            Wanted side of a box of the sky's mesh, pixels.

        Raises
        ------
        UnusableDataError
            If the frame has no sky to speak of.
        """
        pixels, mask = self._calibrated(raw, calibrator)
        sky = measure_sky(pixels, mask, sky_box_pix, self.xp)
        pixels -= sky_image(sky, self.xp)
        maxima = np.empty(0, np.int64)
        if sky.rms > 0:
            threshold = THRESHOLD_SIGMA, MIN_AREA_PIX
            maxima = find_maxima(pixels, mask, sky.rms, *threshold, self.xp)
        return FrameOnDevice(self, (pixels, mask), sky, maxima)

    def remeasure_frame(
        self, raw: RawFrame, calibrator: Calibrator, sky: SkyModel
    ) -> FrameOnDevice:
        """Calibrate a frame and take off the sky that an earlier pass found.

        Parameters
        ----------
        raw, calibrator
            As of :meth:`measure_frame`.
        sky : SkyModel
        """
        pixels, mask = self._calibrated(raw, calibrator)
        pixels -= sky_image(sky, self.xp)
        return FrameOnDevice(self, (pixels, mask), sky)

    def new_stack(self, canvas: Canvas) -> DeviceStack:
        """Return an empty stack on the device."""
        return DeviceStack(canvas, self.xp)

    def arrays_of(self, frame: MeasuredFrame) -> tuple[DeviceArray, DeviceArray]:
        """Return pixels and mask of a frame on the device, wherever it was measured."""
        if isinstance(frame, FrameOnDevice):
            return frame.held
        return self.xp.asarray(frame.pixels), self.xp.asarray(frame.mask)

    def about(
        self, held: tuple[DeviceArray, DeviceArray], maxima: IntArray
    ) -> tuple[FloatImage, MaskImage]:
        """Return pixels and mask on the host, of which those about the brightest maxima hold.

        They are gone with the next frame.
        """
        room = self._room.of_shape(held[0].shape)
        height = to_host(held[0].reshape(-1)[self.xp.asarray(maxima)])
        room[0].reshape(-1)[maxima] = height
        brightest = maxima[np.argsort(-height, kind="stable")[:MAX_STARS]]
        copy_squares(*held, brightest, FARTHEST_PIX, room, self.xp)
        return room

    def _calibrated(self, raw: RawFrame, calibrator: Calibrator) -> tuple[DeviceArray, DeviceArray]:
        if calibrator not in self._calibrations:
            self._calibrations[calibrator] = DeviceCalibration.of(calibrator, self.xp)
        overscan = None if raw.overscan is None else self.xp.asarray(raw.overscan)
        prepared = self._calibrations[calibrator]
        counts = raw.arrived() if isinstance(raw, SentFrame) else None
        if counts is None:
            native = raw.pixels.dtype.newbyteorder("=")
            counts = self.xp.asarray(np.ascontiguousarray(raw.pixels, native))
        calibrated = calibrate(counts, overscan, prepared, self.xp)
        if isinstance(raw, SentFrame):
            raw.is_done_with()
        return calibrated
