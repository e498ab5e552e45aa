"""Calibration frames for what needs all of them at once and cannot hold them in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import PermanentError, UnusableDataError
from tianyu.pipelines.frames import FrameFile, read_frame
from tianyu.pipelines.science.arrays import AnyArray
from tianyu.pipelines.science.blank import refuse_blank
from tianyu.pipelines.science.strips import STRIP_ROWS, RowReader

RAW_BYTES_IN_MEMORY = 512 * 1024 * 1024
"""Raw frames are kept whole below this, since decompressing one for every strip is slow."""


@dataclass(frozen=True)
class FrameSet:
    """Frames that can be combined, with a reader of rows for each.

    Attributes
    ----------
    frames : tuple of FrameFile
        At least one.
    readers : tuple of RowReader
    left_out : tuple of str
        Why the others cannot be used, each with its name.
    """

    frames: tuple[FrameFile, ...]
    readers: tuple[RowReader, ...]
    left_out: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)`` of every frame."""
        return self.frames[0].shape

    def without(self, reasons: Sequence[str | None]) -> "FrameSet":
        """Leave out the frames that have a reason.

        Raises
        ------
        UnusableDataError
            If all of them have one.
        """
        kept = [i for i, reason in enumerate(reasons) if reason is None]
        left_out = (*self.left_out, *(reason for reason in reasons if reason is not None))
        if not kept:
            raise _nothing_left(left_out)
        return FrameSet(
            tuple(self.frames[i] for i in kept), tuple(self.readers[i] for i in kept), left_out
        )


def open_frames(
    context: StepContext, frames: Sequence[FrameFile], *, sees_light: bool = False
) -> FrameSet:
    """Read calibration frames, and leave out those that are gone, unreadable or blank.

    Small sets are kept in their raw type; of larger ones each strip reads its frame again, so
    that memory stays bounded however many there are.

    Parameters
    ----------
    context : StepContext
    frames : sequence of FrameFile
    sees_light : bool
        Whether they are flats.

    Raises
    ------
    UnusableDataError
        If none can be used.
    """
    is_small = _are_kept(frames)
    kept: list[FrameFile] = []
    readers: list[RowReader] = []
    left_out: list[str] = []
    for done, frame in enumerate(frames):
        context.progress(done, len(frames))
        try:
            pixels = read_frame(context, frame)
            refuse_blank(pixels, frame.name, sees_light=sees_light)
        except PermanentError as error:
            left_out.append(str(error))
            continue
        kept.append(frame)
        readers.append(_kept(pixels) if is_small else _reread(context, frame))
    if not kept:
        raise _nothing_left(left_out)
    return FrameSet(tuple(kept), tuple(readers), tuple(left_out))


def strip_rows(frames: Sequence[FrameFile]) -> int:
    """Return how many rows of all frames to work on at once.

    Few of frames that are kept in memory, so that they stay in the processor's cache; as many as
    fit into the same bound as float32 of those that are read again for each strip.
    """
    if _are_kept(frames):
        return STRIP_ROWS
    bytes_per_row = sum(4 * frame.width for frame in frames)
    return max(16, min(4096, RAW_BYTES_IN_MEMORY // max(1, bytes_per_row)))


def _are_kept(frames: Sequence[FrameFile]) -> bool:
    return sum(2 * frame.width * frame.height for frame in frames) <= RAW_BYTES_IN_MEMORY


def _nothing_left(left_out: Sequence[str]) -> UnusableDataError:
    return UnusableDataError(f"none of the {len(left_out)} frames can be used: {left_out[0]}")


def _kept(pixels: AnyArray) -> RowReader:
    return lambda start, stop: pixels[start:stop]


def _reread(context: StepContext, frame: FrameFile) -> RowReader:
    return lambda start, stop: read_frame(context, frame)[start:stop]
