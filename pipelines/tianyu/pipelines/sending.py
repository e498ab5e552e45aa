"""Sending the next frame to a GPU while one is worked on there.

Two places take turns. Each has memory of the host that the device reads by itself (pinned), memory
of the device, and two events: its frame has arrived, and its frame is needed no more.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray
from tianyu.pipelines.science.gpu.namespace import ArrayNamespace, DeviceArray
from tianyu.pipelines.science.overscan import RawFrame

PLACES = 2
"""One frame is worked on, one is on its way."""


@dataclass(eq=False)
class _Place:
    """Room for one frame, and the number of the frame that was sent there last."""

    pinned: AnyArray
    counts: DeviceArray
    has_arrived: Any
    is_free: Any
    number: int = -1

    def fits(self, counts: AnyArray) -> bool:
        return bool(self.pinned.shape == counts.shape and self.pinned.dtype == _native(counts))


@dataclass(frozen=True, eq=False)
class SentFrame(RawFrame):
    """A raw frame that is on its way to a device, or there."""

    sender: "Sender | None" = None
    place: _Place | None = None
    number: int = -1

    def arrived(self) -> DeviceArray | None:
        """Return the counts on the device; what works on them there waits until they are.

        None if a later frame has taken their place.
        """
        if self.sender is None or self.place is None or self.place.number != self.number:
            return None
        self.sender.stream_of_work().wait_event(self.place.has_arrived)
        return self.place.counts

    def is_done_with(self) -> None:
        """Give the place away once what was begun with the counts is done."""
        if self.sender is not None and self.place is not None and self.place.number == self.number:
            self.place.is_free.record(self.sender.stream_of_work())


class Sender:
    """Sends counts to a device, for one thread at a time.

    Parameters
    ----------
    xp : module
        `cupy`.
    """

    def __init__(self, xp: ArrayNamespace) -> None:
        self._xp = xp
        self._stream = xp.cuda.Stream(non_blocking=True)
        self._places: list[_Place | None] = [None] * PLACES
        self._n_sent = 0

    def stream_of_work(self) -> Any:
        """Return the stream on which the calling thread works."""
        return self._xp.cuda.get_current_stream()

    def send(self, raw: RawFrame) -> SentFrame:
        """Begin to send a frame.

        Parameters
        ----------
        raw : RawFrame
            Of integers of 16 bits at most.
        """
        turn = self._n_sent % PLACES
        place = self._places[turn]
        if place is None or not place.fits(raw.pixels):
            place = self._places[turn] = self._new_place(raw.pixels)
        place.has_arrived.synchronize()  # or the frame before would be written over
        place.number = self._n_sent
        np.copyto(place.pinned, raw.pixels)
        self._stream.wait_event(place.is_free)
        place.counts.set(place.pinned, stream=self._stream)
        place.has_arrived.record(self._stream)
        self._n_sent += 1
        return SentFrame(raw.pixels, raw.overscan, self, place, place.number)

    def _new_place(self, counts: AnyArray) -> _Place:
        cuda, dtype = self._xp.cuda, _native(counts)
        memory = cuda.alloc_pinned_memory(counts.nbytes)
        pinned = np.frombuffer(memory, dtype, counts.size).reshape(counts.shape)
        on_device = self._xp.empty(counts.shape, dtype)
        place = _Place(pinned, on_device, cuda.Event(), cuda.Event())
        # What the pool gives may be in use by work that was begun before.
        place.is_free.record(self.stream_of_work())
        return place


def _native(counts: AnyArray) -> np.dtype[Any]:
    return counts.dtype.newbyteorder("=")
