"""Frames of 61 megapixels: ten of 9576 × 6388, their time and the memory of a consumer.

``python -m tests.benchmarks.wide [--frames N] [--consumers N]``. The first run simulates the
frames, 2.6 GB below ``build/``; they are kept.
"""

import argparse
import sys

from tests.benchmarks.night import BenchmarkNight, benchmark_frames
from tests.benchmarks.served_night import reduce_served, show

WIDTH, HEIGHT = 9576, 6388
N_STARS = 17500
"""As dense as the frames of 2048 × 2048 pixels."""
LIMIT_BYTES = 4 * 2**30


def main() -> int:
    """Reduce, print, and say whether it fits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--consumers", type=int, default=1)
    given = parser.parse_args()
    night = BenchmarkNight(given.frames, WIDTH, HEIGHT, N_STARS)
    found = reduce_served(benchmark_frames(night), given.consumers, given.frames)
    show(found, f"{given.frames} frames of {WIDTH} × {HEIGHT}, {given.consumers} consumers", {})
    fits = found.peak_bytes <= LIMIT_BYTES
    words = "fits" if fits else "does not fit"
    print(f"a consumer {words} in {LIMIT_BYTES / 2**30:.0f} GB")
    return 0 if fits else 1


if __name__ == "__main__":
    sys.exit(main())
