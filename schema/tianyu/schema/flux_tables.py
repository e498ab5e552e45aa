"""Tables of light curves: large, few indexes, clustered so that one star over time is one range.

They carry no foreign keys: rows are written once by the process that measured them, and the
tables can be partitioned by run.
"""

from sqlalchemy import BigInteger, Integer, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from tianyu.schema.base import SINGLE, Base, Serial


class Aperture(Base):
    """The radii that a run measures, fixed over the night."""

    __tablename__ = "aperture"

    run_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    aperture: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    radius_pix: Mapped[float] = mapped_column(comment="pixels")
    fwhm_factor: Mapped[float | None] = mapped_column(comment="radius / median FWHM; NULL: fixed")


class ApertureEllipse(Base):
    """The ellipse in which a run measured the sources of one frame; without a row, circles.

    An aperture of ``radius_pix`` r has semi-axes r·√(1/q) and r·√q: the area of the circle.
    """

    __tablename__ = "aperture_ellipse"

    run_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    axis_ratio: Mapped[float] = mapped_column(
        SINGLE, comment="minor over major axis q; 1: the frame's stars are round, circles"
    )
    angle_deg: Mapped[float] = mapped_column(
        SINGLE, comment="major axis from the frame's +x towards +y, degrees"
    )
    n_stars: Mapped[int | None] = mapped_column(comment="that told it; NULL: given by parameters")


class Flux(Base):
    """One source in one frame through one aperture."""

    __tablename__ = "flux"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - read from the class by SQLAlchemy

    run_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    source_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    aperture: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    radius_pix: Mapped[float] = mapped_column(SINGLE, comment="aperture radius, pixels")
    flux: Mapped[float | None] = mapped_column(SINGLE, comment="unit in reduction.flux_unit")
    flux_error: Mapped[float | None] = mapped_column(SINGLE, comment="1 sigma, unit of flux")
    background: Mapped[float | None] = mapped_column(SINGLE, comment="annulus, ADU per pixel")
    background_rms: Mapped[float | None] = mapped_column(SINGLE, comment="annulus, ADU per pixel")
    x: Mapped[float | None] = mapped_column(SINGLE, comment="centroid, 0-based frame pixel")
    y: Mapped[float | None] = mapped_column(SINGLE, comment="centroid, 0-based frame pixel")
    peak: Mapped[float | None] = mapped_column(SINGLE, comment="brightest pixel above sky, ADU")
    flags: Mapped[int] = mapped_column(Integer, comment="bits of FluxFlag")


class RelativeFlux(Base):
    """The flux of a source over that of its reference stars."""

    __tablename__ = "relative_flux"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - read from the class by SQLAlchemy

    run_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    source_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    aperture: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    relative_flux: Mapped[float | None] = mapped_column(SINGLE, comment="median 1 over good frames")
    relative_flux_error: Mapped[float | None] = mapped_column(SINGLE, comment="1 sigma")
    flags: Mapped[int] = mapped_column(Integer, comment="bits of FluxFlag added by the comparison")


class FluxLevel(Base):
    """The level of a source in a run, and what brings its relative flux to the scale of its sky.

    Relative fluxes of one night are over that night's median. ``scale`` is the ratio of that
    median to the one of the first night that measured the source, so that the view
    ``light_curve`` joins nights; it follows the current runs of the sky.
    """

    __tablename__ = "flux_level"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - read from the class by SQLAlchemy

    run_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    source_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    aperture: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    level: Mapped[float] = mapped_column(
        comment="flux at the night's mean transparency, unit in reduction.flux_unit"
    )
    scale: Mapped[float] = mapped_column(comment="times relative_flux: joined with other nights")


class ReferenceGroup(Base):
    """Stars of similar place and brightness that are compared with each other."""

    __tablename__ = "reference_group"

    id: Mapped[Serial]
    run_id: Mapped[int] = mapped_column(BigInteger, index=True)
    number: Mapped[int] = mapped_column(comment="within the run")
    method: Mapped[str] = mapped_column(String(24))
    position_bin: Mapped[int]
    flux_bin: Mapped[int]
    n_members: Mapped[int]
    n_references: Mapped[int]
    snr: Mapped[float | None] = mapped_column(comment="group signal to noise")
    note: Mapped[str | None] = mapped_column(String(255))
    surface_order: Mapped[int | None] = mapped_column(
        SmallInteger, comment="of the zero point over the field; NULL: plain groups"
    )


class ReferenceMember(Base):
    """A reference star of a group."""

    __tablename__ = "reference_member"

    group_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    source_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    weight: Mapped[float] = mapped_column(comment="in the sum of references; 1 for plain groups")
    is_borrowed: Mapped[bool] = mapped_column(comment="1: lent by a neighbouring bin")
