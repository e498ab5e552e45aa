"""The plate solver as a program of its own: stars and hints in as JSON, a solution out.

``python -m tianyu.pipelines.platesolver < request.json``. astrometry.net's engine is compiled
code that searches without end where nothing fits: outside the worker it can be given a limit of
time, and its crash is no more than a field without coordinates.
"""

import json
import sys
from pathlib import Path
from typing import Any


def solve(request: dict[str, Any]) -> dict[str, Any]:
    """Search the index files for the place of a list of stars.

    Parameters
    ----------
    request : dict
        ``stars``: pixels, brightest first; ``index_files``: paths; ``scale_arcsec``: lower and
        upper pixel scale or None; ``position``: right ascension, declination and radius in
        degrees or None.

    Returns
    -------
    dict
        ``is_solved`` and, where it is, ``cards`` (of a FITS header, whose pixels are those of
        the request as they are), ``stars`` (right ascension and declination of the index
        stars in the field) and ``index_file``.
    """
    import astrometry  # noqa: PLC0415 - an optional package

    scale, position = request["scale_arcsec"], request["position"]
    # The first match that passes the engine's own odds is checked afterwards; going on would
    # try every other quadrangle of the sky.
    first = astrometry.SolutionParameters(
        logodds_callback=lambda _odds: astrometry.Action.STOP, sip_order=2
    )
    with astrometry.Solver([Path(path) for path in request["index_files"]]) as solver:
        solution = solver.solve(
            stars=request["stars"],
            size_hint=None if scale is None else astrometry.SizeHint(*scale),
            position_hint=None if position is None else astrometry.PositionHint(*position),
            solution_parameters=first,
        )
    if not solution.has_match():
        return {"is_solved": False}
    match = solution.best_match()
    return {
        "is_solved": True,
        "cards": {name: value for name, (value, _comment) in match.wcs_fields.items()},
        "stars": [[star.ra_deg, star.dec_deg] for star in match.stars],
        "index_file": Path(match.index_path).name,
    }


if __name__ == "__main__":
    json.dump(solve(json.load(sys.stdin)), sys.stdout)
