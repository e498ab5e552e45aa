"""Sites on a real Docker engine, from nothing to light curves: ``python -m tests.compose``.

The story ``site`` is one site with its servers, restarted, wiped and restored on the way; ``sites``
an observatory and a data centre that share a night over TLS. Both build the image, bring everything
up as operators do, and compare every row with the embedded reduction. Ends with 0 where all of it
did, and where there is no engine, which it says.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.compose import one_site, two_sites
from tests.compose.project import missing

STORIES = {"site": one_site.run, "sites": two_sites.run}


def main() -> int:
    """Run the stories; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    beside = Path(__file__).resolve().parents[3] / "shared" / "data" / "hatp32"
    parser.add_argument("--story", choices=STORIES, action="append", help="which; default: all")
    parser.add_argument("--frames", type=Path, default=beside, help="the frames of HAT-P-32")
    parser.add_argument("--keep", action="store_true", help="leave everything running at the end")
    options = parser.parse_args()
    lacks = missing()
    if lacks or not options.frames.is_dir():
        print(f"skipped: {lacks or f'no frames in {options.frames}'}")
        return 0
    results = []
    for name in options.story or STORIES:
        print(f"-- {name} --", flush=True)
        folder = Path(tempfile.mkdtemp(prefix="tianyu-compose-"))
        try:
            results.append(STORIES[name](options.frames, folder, keep=options.keep))
        finally:
            if not options.keep:
                shutil.rmtree(folder)
        print("light curves equal to the embedded ones" if results[-1] else "NOT EQUAL")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
