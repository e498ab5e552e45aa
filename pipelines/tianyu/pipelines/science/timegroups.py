"""Groups of frames that follow each other in time: what a stack of a time scale is made of."""

import re
from dataclasses import dataclass
from typing import Self

import numpy as np

from tianyu.pipelines.errors import InvalidParametersError
from tianyu.pipelines.science.arrays import FloatArray, IntArray

MINUTES_PER_DAY = 1440.0

MAX_STRETCH = 2.0
"""A group of n frames spans at most this many times what n frames usually take: over a gap in
the night the mean of a few frames would be that of no time at all."""


@dataclass(frozen=True)
class TimeScale:
    """How long a stack is: in frames, or in minutes.

    Exactly one of the two is given.

    Examples
    --------
    >>> TimeScale.parse("5").name, TimeScale.parse("10 min").name
    ('5 frames', '10 min')
    """

    n_frames: int | None = None
    minutes: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``5``, ``5 frames``, ``10min`` or ``10 min``.

        Raises
        ------
        InvalidParametersError
            If it is of another form, fewer than 2 frames, or no time at all.
        """
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(frames|min|)\s*", text)
        if match is not None and match[2] == "min" and float(match[1]) > 0:
            return cls(minutes=float(match[1]))
        if match is not None and match[2] != "min" and match[1].isdigit() and int(match[1]) > 1:
            return cls(n_frames=int(match[1]))
        raise InvalidParametersError(
            f"time scale {text!r}: give a number of frames from 2 on, such as 5, or minutes, such "
            "as 10min"
        )

    @property
    def name(self) -> str:
        """As it is stored, and as people ask for it."""
        return f"{self.minutes:g} min" if self.minutes is not None else f"{self.n_frames} frames"


def consecutive_groups(jd: FloatArray, scale: TimeScale) -> list[IntArray]:
    """Cut frames into groups that follow each other.

    A group ends when it is full: when it has its number of frames, or when the next frame begins
    a new stretch of its minutes, counted from its first one. It also ends where a gap would
    stretch it.

    Parameters
    ----------
    jd : ndarray, shape (n,)
        Mid-exposures in days, ascending and finite.
    scale : TimeScale

    Returns
    -------
    list of ndarray of int
        Indices, in order; every frame is in one group. The last group of a night, and one
        before a gap, may be smaller than the others.

    Examples
    --------
    >>> [g.tolist() for g in consecutive_groups(np.arange(5) / 1440, TimeScale(n_frames=2))]
    [[0, 1], [2, 3], [4]]
    """
    longest = _longest_days(jd, scale)
    groups: list[list[int]] = []
    for i, time in enumerate(jd):
        is_full = not groups or len(groups[-1]) == scale.n_frames
        # A hundredth of a second of rounding must not end a group.
        if is_full or time - jd[groups[-1][0]] >= longest - 1e-7:
            groups.append([])
        groups[-1].append(i)
    return [np.array(group) for group in groups]


def _longest_days(jd: FloatArray, scale: TimeScale) -> float:
    if scale.minutes is not None:
        return scale.minutes / MINUTES_PER_DAY
    if len(jd) < 2 or scale.n_frames is None:
        return np.inf
    return MAX_STRETCH * scale.n_frames * float(np.median(np.diff(jd)))
