"""The light curve that an analysis is about: which source, run and radius."""

from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from tianyu.cli.curves.light_curve import LightCurve
from tianyu.cli.curves.places import parse_pixel, parse_sky_place
from tianyu.cli.queries import source_search
from tianyu.cli.queries.light_curve import read_light_curve
from tianyu.cli.queries.observations import find_observation
from tianyu.cli.queries.runs import newest_reduction, read_run
from tianyu.cli.queries.source_search import FoundSource
from tianyu.schema.errors import ConfigurationError, NotFoundError


@dataclass(frozen=True)
class Choice:
    """What a person asked for, as typed."""

    target: str | None = None
    source: int | None = None
    at: str | None = None
    pixel: str | None = None
    observation: str | None = None
    run: int | None = None
    radius_pix: float | None = None

    @property
    def n_ways(self) -> int:
        """In how many ways a source was named."""
        return sum(way is not None for way in (self.target, self.source, self.at, self.pixel))


def choose_run(connection: Connection, choice: Choice) -> int:
    """Return the run that was named, or that of the observation, or the newest.

    Raises
    ------
    NotFoundError
        If there is no such run or observation.
    """
    observation = _observation(connection, choice)
    run = choice.run or newest_reduction(connection, observation)
    read_run(connection, run)
    return run


def choose_curve(connection: Connection, choice: Choice) -> LightCurve:
    """Return the good points of the chosen source in one aperture.

    Raises
    ------
    NotFoundError
        If there is no such source or it has no good point.
    ConfigurationError
        If it was not measured through that radius, or not compared with other stars.
    """
    found = _find(connection, choice)
    if choice.run is not None:
        read_run(connection, choice.run)
    curve = read_light_curve(
        connection,
        found,
        observation_id=_observation(connection, choice),
        run=choice.run,
        all_radii=choice.radius_pix is not None,
    )
    if choice.radius_pix is not None:
        curve = _of_radius(curve, choice.radius_pix)
    if not curve.has_relative_flux:
        raise ConfigurationError(
            f"{curve.how} was not compared with reference stars; events cannot be told from clouds"
        )
    filters = sorted(set(curve["filter"].tolist()))
    if len(filters) > 1:
        raise ConfigurationError(
            f"{curve.how} was observed in {', '.join(filters)}; choose one with --observation"
        )
    good = curve.only(curve.is_good & np.isfinite(curve["relative_flux"]))
    if not len(good):
        raise NotFoundError(f"none of {len(curve)} points of {curve.how} is good")
    return good


def _observation(connection: Connection, choice: Choice) -> int | None:
    if choice.observation is None:
        return None
    return find_observation(connection, choice.observation)


def _find(connection: Connection, choice: Choice) -> FoundSource:
    if choice.target is not None:
        return source_search.find_by_target(connection, choice.target)
    if choice.source is not None:
        return source_search.find_by_id(connection, choice.source)
    if choice.at is not None:
        return source_search.find_at(connection, *parse_sky_place(choice.at))
    x, y = parse_pixel(choice.pixel or "")
    return source_search.find_at_pixel(connection, choose_run(connection, choice), x, y)


def _of_radius(curve: LightCurve, radius_pix: float) -> LightCurve:
    """Keep in each run the aperture that has this radius."""
    radii = np.unique(np.round(curve["radius_pix"], 3))
    near = np.isclose(curve["radius_pix"], radius_pix, atol=0.05)
    if not near.any():
        shown = ", ".join(f"{radius:.2f}" for radius in radii)
        raise ConfigurationError(
            f"{curve.how} was not measured within {radius_pix:g} px; the radii are {shown} px"
        )
    if len(set(np.round(curve["radius_pix"][near], 3).tolist())) > len(set(curve["run_id"])):
        shown = ", ".join(f"{radius:.2f}" for radius in radii)
        raise ConfigurationError(f"{radius_pix:g} px is not one radius; give one of {shown} px")
    return curve.only(near)
