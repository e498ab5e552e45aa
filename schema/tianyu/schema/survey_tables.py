"""Tables of what is observed with what: instruments, filters, targets, skies, observations."""

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from tianyu.schema.base import Base, Microseconds, Name, Serial


class Instrument(Base):
    """A camera on a telescope at a place."""

    __tablename__ = "instrument"

    id: Mapped[Serial]
    name: Mapped[Name] = mapped_column(unique=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"), comment="where its files arrive")
    latitude_deg: Mapped[float | None] = mapped_column(comment="geodetic, degrees north")
    longitude_deg: Mapped[float | None] = mapped_column(comment="degrees east")
    altitude_m: Mapped[float | None] = mapped_column(comment="above sea level, metres")
    aperture_m: Mapped[float | None] = mapped_column(comment="diameter of the telescope, metres")
    pixel_scale_arcsec: Mapped[float | None] = mapped_column(comment="arcseconds per pixel")
    gain_e_per_adu: Mapped[float | None] = mapped_column(comment="electrons per ADU")
    read_noise_e: Mapped[float | None] = mapped_column(comment="electrons rms per pixel")
    saturation_adu: Mapped[float | None] = mapped_column(comment="raw ADU")
    default_recipe: Mapped[str] = mapped_column(String(64))


class OpticalFilter(Base):
    """A passband; ``filter`` alone is a keyword in SQL."""

    __tablename__ = "optical_filter"

    id: Mapped[Serial]
    name: Mapped[Name] = mapped_column(unique=True)


class Target(Base):
    """What people ask for by name: a star, a moving object, a fixed field, a calibration frame."""

    __tablename__ = "target"

    id: Mapped[Serial]
    name: Mapped[Name] = mapped_column(unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    ra_deg: Mapped[float | None] = mapped_column(comment="ICRS, degrees")
    dec_deg: Mapped[float | None] = mapped_column(comment="ICRS, degrees")


class Sky(Base):
    """A field; observations of one sky share its sources."""

    __tablename__ = "sky"

    id: Mapped[Serial]
    name: Mapped[Name] = mapped_column(unique=True)
    ra_deg: Mapped[float | None] = mapped_column(comment="field centre, ICRS, degrees")
    dec_deg: Mapped[float | None] = mapped_column(comment="field centre, ICRS, degrees")
    template_image_id: Mapped[int | None] = mapped_column(
        BigInteger, comment="the template whose sources the next night is measured at"
    )


class Observation(Base):
    """Frames with one target that are processed together, of one instrument and filter."""

    __tablename__ = "observation"

    id: Mapped[Serial]
    name: Mapped[Name] = mapped_column(unique=True)
    kind: Mapped[str] = mapped_column(String(16), comment="bias, dark, flat or light")
    target_id: Mapped[int | None] = mapped_column(ForeignKey("target.id"), index=True)
    sky_id: Mapped[int | None] = mapped_column(ForeignKey("sky.id"), index=True)
    instrument_id: Mapped[int] = mapped_column(ForeignKey("instrument.id"))
    filter_id: Mapped[int | None] = mapped_column(ForeignKey("optical_filter.id"))
    current_run_id: Mapped[int | None] = mapped_column(
        BigInteger, index=True, comment="the run that the view light_curve shows"
    )
    created_us: Mapped[Microseconds] = mapped_column(comment="µs since 1970 UTC")


class ObservationTarget(Base):
    """A registered target expected in an observation's frames, where it is known to stand."""

    __tablename__ = "observation_target"

    observation_id: Mapped[int] = mapped_column(ForeignKey("observation.id"), primary_key=True)
    target_id: Mapped[int] = mapped_column(ForeignKey("target.id"), primary_key=True)
    image_id: Mapped[int | None] = mapped_column(BigInteger, comment="frame of the position")
    x: Mapped[float | None] = mapped_column(comment="0-based pixel in that frame")
    y: Mapped[float | None] = mapped_column(comment="0-based pixel in that frame")


class Reduction(Base):
    """What one run makes of one observation."""

    __tablename__ = "reduction"

    run_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    observation_id: Mapped[int] = mapped_column(ForeignKey("observation.id"), index=True)
    flux_unit: Mapped[str] = mapped_column(String(8), comment="unit of flux.flux: electron or adu")
    template_image_id: Mapped[int | None] = mapped_column(
        BigInteger, comment="whose source positions the fluxes were measured at"
    )
    notes: Mapped[dict[str, Any]] = mapped_column(comment="what was assumed or skipped, in words")
