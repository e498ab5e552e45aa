"""Frames of which only as many rows are calibrated at a time as their sources need."""

from functools import cached_property

from tianyu.pipelines.measuring import FrameBuffers, MeasuredFrame, light_reader
from tianyu.pipelines.science.apertureshape import ROUND, ApertureShape
from tianyu.pipelines.science.arrays import FloatImage, MaskImage
from tianyu.pipelines.science.calibrate import Calibrator
from tianyu.pipelines.science.footprints import Footprints
from tianyu.pipelines.science.kernels.calibration import RawRows, calibrate_known
from tianyu.pipelines.science.kernels.frames import raw_rows
from tianyu.pipelines.science.kernels.light import RawLight
from tianyu.pipelines.science.light import LightReader
from tianyu.pipelines.science.overscan import RawFrame
from tianyu.pipelines.science.sky import SkyModel


class FrameInRows(MeasuredFrame):
    """A frame without its known sky, not calibrated before somebody looks at it.

    A calibrated frame fits no cache: writing it and reading it again took as long as the reading
    of the raw one. Whoever asks for its pixels or its mask gets them all the same.

    Parameters
    ----------
    raw : RawFrame
        Of integers of 16 bits.
    calibrator : Calibrator
    sky : SkyModel
        That an earlier pass found.
    buffers : FrameBuffers
        For the whole frame, if it is asked for.
    """

    def __init__(
        self,
        raw: RawFrame,
        calibrator: Calibrator,
        sky: SkyModel,
        buffers: FrameBuffers,
    ) -> None:
        rows = raw_rows(raw, calibrator, sky)
        for name, value in {
            "rows": rows, "sky": sky, "maxima": None, "_buffers": buffers
        }.items():  # fmt: skip
            object.__setattr__(self, name, value)

    rows: RawRows
    _buffers: FrameBuffers

    @cached_property
    def _made(self) -> tuple[FloatImage, MaskImage]:
        memory = self._buffers.of_shape(self.shape)
        calibrate_known(self.rows, *memory)
        return memory

    def made(self) -> MeasuredFrame:
        """Return the frame with all of its pixels."""
        return MeasuredFrame(*self._made, self.sky)

    @property
    def pixels(self) -> FloatImage:
        """Sky-subtracted, ADU, float32, shape (ny, nx)."""
        return self._made[0]

    @property
    def mask(self) -> MaskImage:
        """Bits of MaskBit, uint8, shape (ny, nx)."""
        return self._made[1]

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)``."""
        return self.rows.counts.shape[0], self.rows.counts.shape[1]

    def with_mask(self, mask: MaskImage) -> MeasuredFrame:
        """Return the frame with another mask, shape ``(ny, nx)``."""
        return self.made().with_mask(mask)

    def reader(self, stars: Footprints | None, shape: ApertureShape = ROUND) -> LightReader:
        """Return what reads the light about its sources; ellipses need the whole frame."""
        if shape.is_round:
            return RawLight.of(self.rows, stars)
        return light_reader(self.pixels, self.mask, stars, shape)
