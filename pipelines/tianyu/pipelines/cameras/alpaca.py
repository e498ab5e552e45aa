"""A camera behind ASCOM Alpaca: a web interface that most astronomical cameras have a server for.

The client is ASCOM's own package `alpyca`, which comes with the extra ``alpaca``.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from alpaca.camera import Camera as Device
from alpaca.exceptions import (
    AlpacaRequestException,
    DriverException,
    InvalidOperationException,
    InvalidValueException,
    NotConnectedException,
    NotImplementedException,
    OperationCancelledException,
)
from requests import RequestException

from tianyu.pipelines.cameras.interface import CameraError, CapturedFrame, CardValue
from tianyu.pipelines.science.arrays import AnyArray

_TROUBLES = (
    AlpacaRequestException,
    DriverException,
    InvalidOperationException,
    InvalidValueException,
    NotConnectedException,
    NotImplementedException,
    OperationCancelledException,
    RequestException,
    OSError,
)

POLL_S = 0.1
"""Between two questions whether the image is ready."""

READOUT_PATIENCE_S = 120.0
"""Slow cameras read out for half a minute; after this the camera hangs."""


class AlpacaCamera:
    """One camera of an Alpaca server.

    Parameters
    ----------
    address : str
        ``HOST:PORT`` of the server.
    device : int
        Number of the camera there.

    Raises
    ------
    CameraError
        If it cannot be connected.
    """

    def __init__(self, address: str, device: int = 0) -> None:
        self._where = f"Alpaca camera {device} at {address}"
        self._exposure_s: float | None = None
        self._device = self._asked(lambda: Device(address, device))
        self._asked(self._connect)

    def expose(self, exposure_s: float, *, is_light: bool) -> None:
        """Begin an exposure."""
        self._asked(lambda: self._device.StartExposure(exposure_s, is_light))
        self._exposure_s = exposure_s

    def read(self) -> CapturedFrame:
        """Wait for the end of the exposure and return its frame."""
        if self._exposure_s is None:
            raise CameraError(f"{self._where} has no exposure under way")
        deadline = time.monotonic() + self._exposure_s + READOUT_PATIENCE_S
        while not self._asked(lambda: self._device.ImageReady):
            if time.monotonic() > deadline:
                raise CameraError(
                    f"{self._where} has no image {READOUT_PATIENCE_S:g} s after the end of the "
                    "exposure; look after its server"
                )
            time.sleep(min(POLL_S, self._exposure_s))
        pixels = self._asked(self._pixels)
        cards = self._cards(self._exposure_s)
        self._exposure_s = None
        return CapturedFrame(pixels, cards)

    def stop(self) -> None:
        """Break off the exposure, and leave the camera to others."""
        if self._exposure_s is not None:
            self._exposure_s = None
            self._asked(self._device.AbortExposure)

    def _connect(self) -> None:
        self._device.Connected = True

    def _pixels(self) -> AnyArray:
        """Return the image as FITS counts it: Alpaca has x on the first axis."""
        try:
            values = np.array(self._device.ImageArrayRaw)
        except InvalidValueException:
            # An older server, which knows images as JSON only.
            values = np.array(self._device.ImageArray)
        info = self._device.ImageArrayInfo
        if info.Rank != 2:
            raise CameraError(f"{self._where} gives colour images; set it to one plane")
        image = values.reshape(info.Dimension1, info.Dimension2).T
        if image.min() >= 0 and image.max() <= np.iinfo(np.uint16).max:
            return np.ascontiguousarray(image, dtype=np.uint16)
        return np.ascontiguousarray(image, dtype=np.int32)

    def _cards(self, exposure_s: float) -> dict[str, tuple[CardValue, str]]:
        device = self._device
        asked: dict[str, tuple[Callable[[], Any], str]] = {
            "DATE-OBS": (lambda: device.LastExposureStartTime, "UTC at the start of the exposure"),
            "EXPTIME": (lambda: device.LastExposureDuration, "[s] exposure"),
            "INSTRUME": (lambda: device.Name, "camera"),
            "SENSOR": (lambda: device.SensorName, "sensor"),
            "CCD-TEMP": (lambda: device.CCDTemperature, "[degC] detector temperature"),
            "EGAIN": (lambda: device.ElectronsPerADU, "[electron/adu] gain"),
            "GAIN": (lambda: device.Gain, "setting of the camera"),
            "OFFSET": (lambda: device.Offset, "setting of the camera"),
            "SATURATE": (lambda: device.MaxADU, "[adu] saturated at or above"),
            "XBINNING": (lambda: device.BinX, "binning along x"),
            "YBINNING": (lambda: device.BinY, "binning along y"),
            "XPIXSZ": (lambda: device.PixelSizeX, "[um] unbinned"),
            "YPIXSZ": (lambda: device.PixelSizeY, "[um] unbinned"),
        }
        cards: dict[str, tuple[CardValue, str]] = {"TIMESYS": ("UTC", "time scale")}
        for keyword, (ask, comment) in asked.items():
            try:
                cards[keyword] = (ask(), comment)
            except (NotImplementedException, InvalidOperationException, DriverException):
                # A camera need not know everything.
                continue
        cards.setdefault("EXPTIME", (exposure_s, "[s] exposure, as asked for"))
        if "DATE-OBS" not in cards:
            raise CameraError(f"{self._where} does not tell when its exposure began")
        return cards

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except _TROUBLES as error:
            raise CameraError(f"{self._where}: {error}") from error
