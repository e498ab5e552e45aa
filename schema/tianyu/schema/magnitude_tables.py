"""Tables of absolute photometry: zero points of frames, and magnitudes by a catalogue."""

from sqlalchemy import Integer, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from tianyu.schema.base import SINGLE, Base


class ZeroPoint(Base):
    """Zero point of one aperture in one frame: magnitude = zero_point − 2.5 log₁₀ flux."""

    __tablename__ = "zero_point"

    run_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    aperture: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    zero_point: Mapped[float] = mapped_column(comment="mag for one unit of flux")
    zero_point_error: Mapped[float | None] = mapped_column(
        SINGLE, comment="1 sigma from frame to frame, mag"
    )
    scatter: Mapped[float | None] = mapped_column(
        SINGLE, comment="robust, of the stars about the catalogue, mag"
    )
    n_stars: Mapped[int] = mapped_column(comment="catalogue stars in this frame")


class MagnitudeScale(Base):
    """How a run's relative fluxes became magnitudes, for one aperture."""

    __tablename__ = "magnitude_scale"

    run_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    aperture: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    catalogue: Mapped[str] = mapped_column(String(32))
    zero_point: Mapped[float] = mapped_column(comment="mag, for fluxes at mean transparency")
    zero_point_error: Mapped[float | None] = mapped_column(comment="scatter / sqrt(n_stars), mag")
    scatter: Mapped[float | None] = mapped_column(comment="robust, about the catalogue, mag")
    n_stars: Mapped[int] = mapped_column(comment="stars that were not clipped")
    colour_term: Mapped[float | None] = mapped_column(
        comment="mag per mag of colour; NULL: none was fitted"
    )
    colour_pivot: Mapped[float | None] = mapped_column(comment="colour without correction, mag")


class Magnitude(Base):
    """A source's calibrated magnitude in one frame, through its default aperture."""

    __tablename__ = "magnitude"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - read from the class by SQLAlchemy

    run_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    source_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    magnitude: Mapped[float] = mapped_column(SINGLE, comment="in the catalogue's band, mag")
    magnitude_error: Mapped[float | None] = mapped_column(
        SINGLE, comment="1 sigma of the point, without the zero point's own error, mag"
    )
