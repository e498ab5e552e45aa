"""Readers of rows for what needs all frames at once and cannot hold them in memory."""

from collections.abc import Sequence

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.frames import FrameFile, read_frame
from tianyu.pipelines.science.arrays import AnyArray
from tianyu.pipelines.science.strips import RowReader

RAW_BYTES_IN_MEMORY = 512 * 1024 * 1024
"""Raw frames are kept whole below this, since decompressing one for every strip is slow."""


def row_readers(context: StepContext, frames: Sequence[FrameFile]) -> list[RowReader]:
    """Return a reader of rows for every frame.

    Small sets are read once and kept in their raw type; of larger ones each strip reads its
    frame again, so that memory stays bounded however many there are.
    """
    bytes_raw = sum(2 * frame.width * frame.height for frame in frames)
    if bytes_raw <= RAW_BYTES_IN_MEMORY:
        return [_kept(read_frame(context, frame)) for frame in frames]
    return [_reread(context, frame) for frame in frames]


def strip_rows(frames: Sequence[FrameFile]) -> int:
    """Return how many rows of all frames fit into the same bound as float32."""
    bytes_per_row = sum(4 * frame.width for frame in frames)
    return max(16, min(4096, RAW_BYTES_IN_MEMORY // max(1, bytes_per_row)))


def _kept(pixels: AnyArray) -> RowReader:
    return lambda start, stop: pixels[start:stop]


def _reread(context: StepContext, frame: FrameFile) -> RowReader:
    return lambda start, stop: read_frame(context, frame)[start:stop]
