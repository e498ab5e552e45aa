"""Checking a plate solution: catalogue stars against the stars that were detected.

The engine says which patch of the sky this is; what it says is believed only once a linear
solution, fitted here to the stars that both have, leaves a small residual.
"""

from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import BoolArray, FloatArray
from tianyu.pipelines.science.clipping import MAD_TO_SIGMA
from tianyu.pipelines.science.matching import match_positions
from tianyu.pipelines.science.wcs import LinearWcs, standard_coordinates

FEWEST_STARS = 6
"""A linear solution has six unknowns, two per star; with fewer stars its residual says little."""

MATCH_ARCSEC = 6.0
MATCH_PIX = 1.5
"""Radius of the match: three times the largest residual that is accepted, so that a bad solution
shows as one."""

FIRST_MATCH_PIX = 4.0
"""Before the fit: the engine's linear part is off by its distortion terms."""

CLIP_SIGMA = 4.0
ROUNDS = 5


@dataclass(frozen=True)
class SkySolution:
    """A linear solution and how well it fits.

    Attributes
    ----------
    wcs : LinearWcs
    rms_arcsec : float
        Root mean square distance of a star from its catalogue place, both axes together and
        corrected for the fitted unknowns, arcseconds.
    n_stars : int
        Stars that were fitted.
    """

    wcs: LinearWcs
    rms_arcsec: float
    n_stars: int


def fit_linear_wcs(
    x: FloatArray,
    y: FloatArray,
    ra_deg: FloatArray,
    dec_deg: FloatArray,
    centre_ra_deg: float,
    centre_dec_deg: float,
) -> SkySolution:
    """Fit a gnomonic solution about a tangent point by least squares.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        0-based pixels.
    ra_deg, dec_deg : ndarray, shape (n,)
        Where they are, ICRS degrees.
    centre_ra_deg, centre_dec_deg : float
        Tangent point, degrees.

    Raises
    ------
    UnusableDataError
        With fewer than six stars, or if they lie on a line.
    """
    if len(x) < FEWEST_STARS:
        raise UnusableDataError(
            f"{len(x)} stars match the catalogue, {FEWEST_STARS} are needed for a sky solution"
        )
    xi, eta = standard_coordinates(ra_deg, dec_deg, centre_ra_deg, centre_dec_deg)
    mean_x, mean_y = float(np.mean(x)), float(np.mean(y))
    design = np.column_stack([x - mean_x, y - mean_y, np.ones(len(x))])
    plane = np.column_stack([xi, eta])
    coefficients, _, rank, _ = np.linalg.lstsq(design, plane)
    if rank < 3:
        raise UnusableDataError("the matched stars lie on a line; no sky solution can be fitted")
    (cd11, cd21), (cd12, cd22), offset = coefficients
    back = np.linalg.solve(np.array([[cd11, cd12], [cd21, cd22]]), -offset)
    wcs = LinearWcs(
        centre_ra_deg,
        centre_dec_deg,
        mean_x + float(back[0]),
        mean_y + float(back[1]),
        *(float(value) for value in (cd11, cd12, cd21, cd22)),
    )
    left = 3600.0 * np.hypot(*(plane - design @ coefficients).T)
    # Three unknowns per axis.
    rms = float(np.sqrt(np.sum(left**2) / (len(x) - 3)))
    return SkySolution(wcs, rms, len(x))


def verify_solution(
    rough: LinearWcs,
    x: FloatArray,
    y: FloatArray,
    ra_deg: FloatArray,
    dec_deg: FloatArray,
) -> SkySolution:
    """Refit a rough solution to catalogue stars and detected stars that stand together.

    Parameters
    ----------
    rough : LinearWcs
        Right to a few pixels over the field.
    x, y : ndarray, shape (n,)
        Detected stars, 0-based pixels.
    ra_deg, dec_deg : ndarray, shape (m,)
        Catalogue stars, ICRS degrees.

    Returns
    -------
    SkySolution
        Whatever its residual: the caller judges it.

    Raises
    ------
    UnusableDataError
        If fewer than six stars match.
    """
    wcs, radius_pix = rough, FIRST_MATCH_PIX
    solution = None
    for _ in range(ROUNDS):
        places = np.column_stack(wcs.to_pixel(ra_deg, dec_deg))
        match = match_positions(places, np.column_stack([x, y]), radius_pix)
        detected = np.flatnonzero(match >= 0)
        known = match[detected]
        near = _near(wcs, x[detected], y[detected], ra_deg[known], dec_deg[known])
        detected, known = detected[near], known[near]
        solution = fit_linear_wcs(
            x[detected], y[detected], ra_deg[known], dec_deg[known],
            rough.crval1_deg, rough.crval2_deg,
        )  # fmt: skip
        wcs = solution.wcs
        radius_pix = max(MATCH_PIX, MATCH_ARCSEC / wcs.pixel_scale_arcsec)
    if solution is None:  # pragma: no cover - there is at least one round
        raise UnusableDataError("no round of the fit was made")
    return solution


def _near(
    wcs: LinearWcs, x: FloatArray, y: FloatArray, ra_deg: FloatArray, dec_deg: FloatArray
) -> BoolArray:
    """Tell which pairs are no farther apart than the bulk of them: others are mistaken."""
    at_x, at_y = wcs.to_pixel(ra_deg, dec_deg)
    dx, dy = x - at_x, y - at_y
    if len(x) < FEWEST_STARS:
        return np.ones(len(x), dtype=bool)
    # A rough solution is displaced as a whole, which says nothing against a pair.
    distance = np.hypot(dx - np.median(dx), dy - np.median(dy))
    sigma = MAD_TO_SIGMA * float(np.median(distance))
    return np.asarray(distance <= max(CLIP_SIGMA * sigma, 0.05))
