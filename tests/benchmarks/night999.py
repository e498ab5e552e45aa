"""A survey's night: 999 frames of 2048 × 2048 on two consumers, MariaDB and RabbitMQ.

``python -m tests.benchmarks.night999 [--frames N] [--consumers N] [--chunk N]``. The first run
simulates the frames, 8.4 GB below ``build/``; they are kept.
"""

import argparse

from tests.benchmarks.night import BenchmarkNight, benchmark_frames
from tests.benchmarks.served_night import reduce_served, show

PUBLISHED = {"total time": "1490 s", "per frame": "1490 ms", "rows": "886456"}
"""Of 999 frames of 2048 × 2048 pixels (arXiv 2505.09107)."""


def main() -> None:
    """Reduce and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=999)
    parser.add_argument("--consumers", type=int, default=2)
    parser.add_argument("--chunk", type=int, default=32)
    given = parser.parse_args()
    folder = benchmark_frames(BenchmarkNight(given.frames))
    night = reduce_served(folder, given.consumers, given.chunk)
    title = f"{given.frames} frames of 2048 × 2048, {given.consumers} consumers"
    show(night, title, PUBLISHED if given.frames == 999 else {})


if __name__ == "__main__":
    main()
