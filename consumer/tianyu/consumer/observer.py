"""Who is told of what happens in a consumer; nobody, unless metrics are asked for."""

from tianyu.consumer.pool import Ended


class Observer:
    """Takes note of nothing."""

    def ended(self, ended: Ended, *, was_ours: bool) -> None:
        """Hear of the end of an attempt, once it is recorded.

        Parameters
        ----------
        ended : Ended
        was_ours : bool
            False where the claim had been lost to another worker.
        """
