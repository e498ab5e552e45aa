"""Random numbers that depend on the plan and the frame, never on the order of the work."""

from enum import IntEnum

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray


class Stream(IntEnum):
    """What a generator is for; each number is its own sequence for good."""

    STARS = 0
    DETECTOR = 1
    WEATHER = 2
    BIAS = 3
    DARK = 4
    FLAT = 5
    LIGHT = 6


def generator(seed: int, stream: Stream, index: int = 0) -> np.random.Generator:
    """Return the generator of one purpose and one frame.

    Parameters
    ----------
    seed : int
        Seed of the night.
    stream : Stream
        Purpose.
    index : int, optional
        Number of the frame within its kind.

    Examples
    --------
    >>> a, b = generator(1, Stream.LIGHT, 4), generator(1, Stream.LIGHT, 4)
    >>> bool(a.random() == b.random())
    True
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(stream), index)))


def log_uniform(limits: tuple[float, float], n: int, rng: np.random.Generator) -> FloatArray:
    """Draw ``n`` numbers between positive limits, as many in each factor of two.

    Parameters
    ----------
    limits : tuple of float
        Least and largest value.
    n : int
        How many.
    rng : numpy.random.Generator
        Their source.
    """
    low, high = np.log(limits)
    return np.asarray(np.exp(rng.uniform(float(low), float(high), n)), dtype=np.float64)
