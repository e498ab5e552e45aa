"""Finding a field on the sky with astrometry.net's engine and index files on this machine."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.skysolution import SkySolution, verify_solution
from tianyu.pipelines.science.wcs import LinearWcs

DEFAULT_FOLDERS = (
    Path("/usr/share/astrometry"),
    Path("/usr/local/share/astrometry"),
    Path("/usr/local/astrometry/data"),
)
"""Where Debian, Homebrew and astrometry.net itself put index files."""

ENGINE_STARS = 100
"""Brightest stars that are searched for; the engine needs four, and tries them in this order."""

VERIFIED_STARS = 500
"""Brightest stars that the catalogue's are looked for among."""

MAX_RMS_ARCSEC = 2.0
"""Larger residuals are refused: a mistaken field, or a camera that a plane cannot describe."""

SCALE_TOLERANCE = 0.2
"""Headers state focal lengths by their nominal value."""


class NotSolvedError(UnusableDataError):
    """The field could not be found; the text says why, and what would help."""


@dataclass(frozen=True)
class Hints:
    """What is known before: scale in arcseconds per pixel, centre in ICRS degrees."""

    scale_arcsec: float | None = None
    ra_deg: float | None = None
    dec_deg: float | None = None
    radius_deg: float = 5.0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known."""
        return self.scale_arcsec is None and (self.ra_deg is None or self.dec_deg is None)


@dataclass(frozen=True)
class SolvedField:
    """A verified solution, the index file it rests on, and the time of the search."""

    solution: SkySolution
    index_file: str
    seconds: float


def index_files(folders: str) -> list[Path]:
    """Return the index files of folders, sorted.

    Parameters
    ----------
    folders : str
        Separated as in PATH; empty: where they are usually installed.
    """
    chosen = [Path(part) for part in folders.split(os.pathsep) if part] or list(DEFAULT_FOLDERS)
    return sorted(path for folder in chosen for path in folder.glob("index-*.fits"))


def solve_stars(
    x: FloatArray,
    y: FloatArray,
    hints: Hints,
    files: Sequence[Path],
    *,
    time_limit_s: float = 60.0,
    max_rms_arcsec: float = MAX_RMS_ARCSEC,
) -> SolvedField:
    """Find stars on the sky, with the hints and, where that fails, without them.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Detected stars, 0-based pixels, brightest first.
    hints : Hints
    files : sequence of Path
        Index files.
    time_limit_s : float
        For each of the two searches, seconds.
    max_rms_arcsec : float
        Largest residual that is accepted.

    Raises
    ------
    NotSolvedError
        If there are no index files, no engine, no solution in time, or its residual is too
        large.
    """
    if not files:
        raise NotSolvedError(
            "there are no astrometry.net index files here; install some, such as Debian's "
            "astrometry-data-tycho2, or name their folder in TIANYU_INDEX_FOLDERS"
        )
    if importlib.util.find_spec("astrometry") is None:
        raise NotSolvedError("the plate solver is not installed; run pip install 'tianyu[solve]'")
    start = time.monotonic()
    answer = None
    for attempt in [hints] if hints.is_empty else [hints, Hints()]:
        answer = _search(x, y, attempt, files, time_limit_s)
        if answer is not None:
            break
    if answer is None:
        raise NotSolvedError(
            f"no place on the sky fits the {min(len(x), ENGINE_STARS)} brightest stars within "
            f"{time_limit_s:g} s and {len(files)} index files; give files for this scale"
        )
    seconds = time.monotonic() - start
    return SolvedField(_verified(answer, x, y, max_rms_arcsec), answer["index_file"], seconds)


def _search(
    x: FloatArray, y: FloatArray, hints: Hints, files: Sequence[Path], time_limit_s: float
) -> Mapping[str, Any] | None:
    """Run the engine; None where it finds nothing in time."""
    scale, position = None, None
    if hints.scale_arcsec is not None:
        factor = 1.0 + SCALE_TOLERANCE
        scale = [hints.scale_arcsec / factor, hints.scale_arcsec * factor]
    if hints.ra_deg is not None and hints.dec_deg is not None:
        position = [hints.ra_deg, hints.dec_deg, hints.radius_deg]
    request = {
        "stars": np.column_stack([x, y])[:ENGINE_STARS].tolist(),
        "index_files": [str(path) for path in files],
        "scale_arcsec": scale,
        "position": position,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tianyu.pipelines.platesolver"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=time_limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it left no word"])[-1]
        raise NotSolvedError(f"the plate solver ended with code {done.returncode}: {last}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer if answer["is_solved"] else None


def _verified(
    answer: Mapping[str, Any], x: FloatArray, y: FloatArray, max_rms_arcsec: float
) -> SkySolution:
    rough = LinearWcs.from_header(answer["cards"])
    if rough is None:
        raise NotSolvedError("the plate solver's answer has no world coordinates")
    # Its pixels are those it was given, and these are 0-based.
    rough = replace(rough, crpix1=rough.crpix1 + 1.0, crpix2=rough.crpix2 + 1.0)
    stars = np.array(answer["stars"], dtype=np.float64).reshape(-1, 2)
    n = VERIFIED_STARS
    solution = verify_solution(rough, x[:n], y[:n], stars[:, 0], stars[:, 1])
    if solution.rms_arcsec > max_rms_arcsec:
        raise NotSolvedError(
            f"the solution is refused: {solution.n_stars} stars stand {solution.rms_arcsec:.2f}″ "
            f"(rms) from their places, {max_rms_arcsec:g}″ is accepted; {answer['index_file']}"
        )
    return solution
