"""Instruments, filters, targets and skies: looked up by name, made on first use."""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from tianyu.pipelines.fits import FrameHeader
from tianyu.schema.base import Base
from tianyu.schema.errors import ConfigurationError, NotFoundError
from tianyu.schema.tables import Instrument, OpticalFilter, Sky, Target


@dataclass(frozen=True)
class InstrumentFacts:
    """What is known of an instrument; None is not known."""

    latitude_deg: float | None = None
    longitude_deg: float | None = None
    altitude_m: float | None = None
    aperture_m: float | None = None
    pixel_scale_arcsec: float | None = None
    gain_e_per_adu: float | None = None
    read_noise_e: float | None = None
    saturation_adu: float | None = None

    def __post_init__(self) -> None:
        _check("latitude", self.latitude_deg, -90.0, 90.0, "degrees north")
        _check("longitude", self.longitude_deg, -360.0, 360.0, "degrees east")
        _check("altitude", self.altitude_m, -500.0, 10_000.0, "metres")
        for name in ("aperture_m", "pixel_scale_arcsec", "gain_e_per_adu", "saturation_adu"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < float("inf"):
                raise ConfigurationError(f"{name} {value} is impossible; give a positive number")
        _check("read noise", self.read_noise_e, 0.0, 1e6, "electrons")

    def over(self, other: "InstrumentFacts") -> "InstrumentFacts":
        """Return these facts, with gaps filled from others."""
        mine, theirs = asdict(self), asdict(other)
        return InstrumentFacts(
            **{name: theirs[name] if mine[name] is None else mine[name] for name in mine}
        )


def facts_of(header: FrameHeader) -> InstrumentFacts:
    """Return what a header tells of its instrument."""
    return InstrumentFacts(
        latitude_deg=header.latitude_deg,
        longitude_deg=header.longitude_deg,
        altitude_m=header.altitude_m,
        aperture_m=header.aperture_diameter_m,
        pixel_scale_arcsec=header.pixel_scale_arcsec,
        gain_e_per_adu=header.gain_e_per_adu,
        read_noise_e=header.read_noise_e,
        saturation_adu=header.saturation_adu,
    )


def ensure_instrument(
    connection: Connection,
    name: str,
    site_id: int,
    facts: InstrumentFacts,
    *,
    default_recipe: str = "light_curves",
) -> int:
    """Return the id of an instrument; make it, or fill in facts it lacked.

    Facts already stored stay: they were given by a person or by earlier frames.
    """
    row = connection.execute(select(Instrument.__table__).where(Instrument.name == name)).first()
    if row is None:
        values = asdict(facts) | {"site_id": site_id, "default_recipe": default_recipe}
        return insert_named(connection, Instrument, name, **values)
    gaps = {
        key: value
        for key, value in asdict(facts).items()
        if value is not None and getattr(row, key) is None
    }
    if gaps:
        connection.execute(update(Instrument).where(Instrument.id == row.id).values(**gaps))
    return int(row.id)


def set_instrument_facts(
    connection: Connection, instrument_id: int, facts: InstrumentFacts
) -> None:
    """Store facts that a person gave; they replace what headers said."""
    given = {key: value for key, value in asdict(facts).items() if value is not None}
    if given:
        connection.execute(update(Instrument).where(Instrument.id == instrument_id).values(**given))


def ensure_filter(connection: Connection, name: str | None) -> int | None:
    """Return the id of a filter; None for frames without one."""
    if name is None:
        return None
    found = connection.scalar(select(OpticalFilter.id).where(OpticalFilter.name == name))
    return int(found) if found is not None else insert_named(connection, OpticalFilter, name)


def ensure_target(
    connection: Connection,
    name: str,
    *,
    kind: str = "star",
    ra_deg: float | None = None,
    dec_deg: float | None = None,
) -> int:
    """Return the id of a target; make it, or give it the coordinates it lacked.

    Raises
    ------
    ConfigurationError
        If only one coordinate is given, or one is impossible.
    """
    check_coordinates(name, ra_deg, dec_deg)
    row = connection.execute(
        select(Target.id, Target.ra_deg, Target.dec_deg).where(Target.name == name)
    ).first()
    if row is None:
        return insert_named(connection, Target, name, kind=kind, ra_deg=ra_deg, dec_deg=dec_deg)
    if ra_deg is not None and (row.ra_deg, row.dec_deg) != (ra_deg, dec_deg):
        connection.execute(
            update(Target).where(Target.id == row.id).values(ra_deg=ra_deg, dec_deg=dec_deg)
        )
    return int(row.id)


def check_coordinates(name: str, ra_deg: float | None, dec_deg: float | None) -> None:
    """Refuse coordinates of a target that cannot be.

    Raises
    ------
    ConfigurationError
        If only one is given, or one is out of its range.
    """
    if (ra_deg is None) != (dec_deg is None):
        raise ConfigurationError(f"target {name!r}: give both --ra and --dec, or neither")
    if ra_deg is not None and not 0.0 <= ra_deg < 360.0:
        raise ConfigurationError(
            f"right ascension {ra_deg} is impossible; give degrees, 0 or more and below 360 "
            "(hours times 15)"
        )
    _check("declination", dec_deg, -90.0, 90.0, "degrees")


def find_target(connection: Connection, name: str) -> int:
    """Return the id of a registered target.

    Raises
    ------
    NotFoundError
        If there is none of that name.
    """
    found = connection.scalar(select(Target.id).where(Target.name == name))
    if found is None:
        known = ", ".join(connection.scalars(select(Target.name).order_by(Target.name))) or "none"
        raise NotFoundError(f"there is no target {name!r}; registered targets: {known}")
    return int(found)


def ensure_sky(
    connection: Connection, name: str, *, ra_deg: float | None, dec_deg: float | None
) -> int:
    """Return the id of a sky; make it, or give it the coordinates it lacked."""
    row = connection.execute(select(Sky.id, Sky.ra_deg).where(Sky.name == name)).first()
    if row is None:
        return insert_named(connection, Sky, name, ra_deg=ra_deg, dec_deg=dec_deg)
    if row.ra_deg is None and ra_deg is not None:
        connection.execute(
            update(Sky).where(Sky.id == row.id).values(ra_deg=ra_deg, dec_deg=dec_deg)
        )
    return int(row.id)


def insert_named(connection: Connection, table: type[Base], name: str, **values: Any) -> int:
    """Insert a row and return its id."""
    key = connection.execute(insert(table).values(name=name, **values)).inserted_primary_key
    if key is None:
        raise NotFoundError(f"the database returned no id for {name!r}")
    return int(key[0])


def _check(what: str, value: float | None, low: float, high: float, unit: str) -> None:
    if value is not None and not low <= value <= high:
        raise ConfigurationError(f"{what} {value} is impossible; give {low:g} to {high:g} {unit}")
