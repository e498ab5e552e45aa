"""How many consumers there should be: a pure function of what the queues held lately.

Both directions look back over a window. More consumers are started for the least that was wanted
over a short one, and drained down to the most that was wanted over a long one: a load that comes
and goes within a window changes nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tianyu.schema.errors import ConfigurationError


@dataclass(frozen=True)
class Policy:
    """How a group is scaled.

    Attributes
    ----------
    least, most : int
        Numbers of consumers.
    load_each : int
        Processes that wait or run for each consumer that is wanted.
    rise_s, calm_s : float
        How long more, or fewer, must have been wanted before it is done, seconds.

    Raises
    ------
    ConfigurationError
        If a number is impossible.
    """

    least: int
    most: int
    load_each: int = 1
    rise_s: float = 5.0
    calm_s: float = 60.0

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most or self.most < 1:
            raise ConfigurationError(
                f"from {self.least} to {self.most} consumers is impossible; give 0 or more as the "
                "least, and no fewer as the most"
            )
        if self.load_each < 1 or self.rise_s < 0 or self.calm_s < 0:
            raise ConfigurationError(
                f"{self.load_each} processes for each consumer within {self.rise_s:g} s and "
                f"{self.calm_s:g} s is impossible; give 1 or more, and times that are not negative"
            )

    def wanted(self, load: int) -> int:
        """Return how many consumers a load would keep busy, between the least and the most.

        Examples
        --------
        >>> policy = Policy(1, 8, load_each=10)
        >>> [policy.wanted(load) for load in (0, 10, 11, 500)]
        [1, 1, 2, 8]
        """
        return min(self.most, max(self.least, math.ceil(load / self.load_each)))


@dataclass(frozen=True)
class Sample:
    """What the queue of a group held at one time.

    Attributes
    ----------
    time_s : float
        By any clock that only goes forward.
    load : int
        Processes that are ready, handed out or running.
    """

    time_s: float
    load: int


def decide(policy: Policy, samples: Sequence[Sample], current: int) -> int:
    """Return how many consumers there should be now.

    Parameters
    ----------
    policy : Policy
    samples : sequence of Sample
        In the order of time, the latest last, at least one. Fewer consumers are only wanted when
        they reach back over the whole of ``calm_s``.
    current : int
        Consumers that take work; those that are being drained do not count.

    Returns
    -------
    int
        Between ``policy.least`` and ``policy.most``.

    Examples
    --------
    >>> policy = Policy(1, 8, rise_s=5, calm_s=60)
    >>> decide(policy, [Sample(0, 500), Sample(5, 490)], 1)
    8
    >>> decide(policy, [Sample(0, 0), Sample(5, 490)], 1)
    1
    >>> decide(policy, [Sample(0, 490), Sample(30, 0), Sample(60, 0)], 8)
    8
    >>> decide(policy, [Sample(30, 0), Sample(60, 0), Sample(90, 0)], 8)
    1
    """
    now = samples[-1].time_s
    within = min(policy.most, max(policy.least, current))
    lately = [policy.wanted(s.load) for s in samples if s.time_s >= now - policy.rise_s]
    if min(lately) > within:
        return min(lately)
    long_enough = samples[0].time_s <= now - policy.calm_s
    calm = [policy.wanted(s.load) for s in samples if s.time_s >= now - policy.calm_s]
    if long_enough and max(calm) < within:
        return max(calm)
    return within


def forget_old(policy: Policy, samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples that a later decision may need.

    One from before the longest window stays: it tells that the others reach back far enough.
    """
    horizon = samples[-1].time_s - max(policy.rise_s, policy.calm_s)
    older = [sample for sample in samples if sample.time_s <= horizon]
    return [*older[-1:], *(sample for sample in samples if sample.time_s > horizon)]
