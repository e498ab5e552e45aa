"""Exposures as a process: a camera's frames, written whole into a folder that is watched."""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import FrameType

from pydantic import Field, field_validator

from tianyu.pipelines.cameras import Camera, CameraError, CapturedFrame
from tianyu.pipelines.cameras.interface import CardValue
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.fits.write import write_image_fits
from tianyu.pipelines.products import Products
from tianyu.pipelines.simulation.plan import FrameKind, NightPlan, Tracking
from tianyu.pipelines.step import StepParameters, step
from tianyu.pipelines.surroundings import FieldCentre, Place
from tianyu.schema.errors import UnsafePathError
from tianyu.schema.paths import check_component, resolve

logger = logging.getLogger(__name__)

LONGEST_NIGHT_S = 20 * 3600.0


class CameraKind(StrEnum):
    """Where exposures come from."""

    SIMULATED = "simulated"
    ALPACA = "alpaca"


class Capture(StepParameters):
    """Parameters of a series of exposures."""

    camera: CameraKind = CameraKind.SIMULATED
    address: str = Field("127.0.0.1:11111", description="HOST:PORT of the Alpaca server")
    device: int = Field(0, ge=0, description="number of the camera there")
    folder: str = Field("incoming", description="under the site's root; / between its parts")
    stem: str = Field("frame", description="of the names: stem_0001.fits, …")
    first_number: int = Field(1, ge=0)
    kind: FrameKind = FrameKind.LIGHT
    exposure_s: float = Field(ge=0)
    n_frames: int = Field(1, ge=1)
    cadence_s: float | None = Field(
        None, gt=0, description="between the starts of two exposures; None: as fast as it goes"
    )
    object_name: str | None = None
    filter_name: str | None = None
    telescope: str | None = None
    place: Place = Place()
    field: FieldCentre = FieldCentre()
    speed: float = Field(1.0, gt=0, description="of the simulated camera's clock")
    seed: int = Field(20250317, description="of the simulated camera's night")
    size_pix: int = Field(1024, ge=128, description="of the simulated camera's frames")

    @field_validator("folder")
    @classmethod
    def _fits_every_platform(cls, value: str) -> str:
        return "/".join(_component(part) for part in value.split("/"))

    @field_validator("stem")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        return _component(value)


def _component(name: str) -> str:
    try:
        return check_component(name)
    except UnsafePathError as error:
        raise ValueError(str(error)) from error


@step(
    "capture",
    parameters=Capture,
    reads=(),
    writes=("captured_frame",),
    group="camera",
    repeatable=False,
    time_limit_s=LONGEST_NIGHT_S,
)
def capture(parameters: Capture, context: StepContext) -> Products:
    """Take a series of exposures; each frame appears in its folder whole, with a full header."""
    folder = resolve(context.root, parameters.folder)
    folder.mkdir(parents=True, exist_ok=True)
    camera = open_camera(parameters)
    with _let_go(camera):
        begun = time.monotonic()
        for number in range(parameters.n_frames):
            context.progress(number, parameters.n_frames)
            if parameters.cadence_s is not None:
                start = begun + number * parameters.cadence_s / _speed(parameters)
                time.sleep(max(0.0, start - time.monotonic()))
            is_light = parameters.kind in {FrameKind.LIGHT, FrameKind.FLAT}
            camera.expose(parameters.exposure_s, is_light=is_light)
            path = folder / f"{parameters.stem}_{parameters.first_number + number:04d}.fits"
            context.traffic.written += write_frame(path, camera.read(), parameters)
            logger.info("exposure %d of %d: %s", number + 1, parameters.n_frames, path.name)
    context.progress(parameters.n_frames, parameters.n_frames)
    return Products()


def open_camera(parameters: Capture) -> Camera:
    """Connect the camera that is asked for.

    Raises
    ------
    CameraError
        If it cannot be connected, or its client is not installed.
    """
    # Whoever has one kind of camera need not have the clients of the others.
    if parameters.camera is CameraKind.SIMULATED:
        from tianyu.pipelines.cameras.simulated import SimulatedCamera  # noqa: PLC0415 - see above

        size = parameters.size_pix
        part = size / 1024.0
        plan = NightPlan(
            seed=parameters.seed,
            width=size,
            height=size,
            n_stars=max(60, round(500 * part**2)),
            tracking=Tracking(drift_pix=(18.0 * part, -11.0 * part)),
            n_light=max(parameters.n_frames, 2),
            exposure_s=max(parameters.exposure_s, 1.0),
            cadence_s=parameters.cadence_s or max(140.0, parameters.exposure_s),
        )
        return SimulatedCamera(plan, parameters.kind, parameters.speed)
    try:
        from tianyu.pipelines.cameras.alpaca import AlpacaCamera  # noqa: PLC0415 - see above
    except ImportError as error:
        raise CameraError(
            f"Alpaca cameras need their client ({error}); pip install 'tianyu[alpaca]'"
        ) from error
    return AlpacaCamera(parameters.address, parameters.device)


def write_frame(path: Path, frame: CapturedFrame, parameters: Capture) -> int:
    """Write a frame, whole or not at all, and return its size in bytes.

    What the camera says of it counts; what a person knows is added where the camera is silent.

    Raises
    ------
    CameraError
        If there is a file of that name: an exposure is never overwritten.
    """
    if path.exists():
        raise CameraError(
            f"{path.name} is there already and is not overwritten; give another stem or number"
        )
    place, centre = parameters.place, parameters.field
    known: dict[str, tuple[CardValue | None, str]] = {
        "IMAGETYP": (parameters.kind.value, "kind of frame"),
        "OBJECT": (parameters.object_name, "target"),
        "FILTER": (parameters.filter_name, "filter"),
        "TELESCOP": (parameters.telescope, "telescope"),
        "RA": (centre.ra_deg, "[deg] pointing, ICRS"),
        "DEC": (centre.dec_deg, "[deg] pointing, ICRS"),
        "SITELAT": (place.latitude_deg, "[deg] latitude, north positive"),
        "SITELONG": (place.longitude_deg, "[deg] longitude, east positive"),
        "ALT-OBS": (place.altitude_m, "[m] altitude"),
    }
    stated = {key: (value, text) for key, (value, text) in known.items() if value is not None}
    written = write_image_fits(path, [("PRIMARY", frame.pixels)], stated | frame.cards)
    return written.size_bytes


def _speed(parameters: Capture) -> float:
    return parameters.speed if parameters.camera is CameraKind.SIMULATED else 1.0


@contextmanager
def _let_go(camera: Camera) -> Iterator[None]:
    """Break off the exposure however the block ends, also when this process is asked to end."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise SystemExit(1)

    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, end) if is_main else None
    try:
        yield
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)
        camera.stop()
