"""Tables of light curves on stacks: means of frames that follow each other, on several time scales.

They stand beside those of single frames and share nothing with them but sources and apertures:
no query for the points of frames ever meets a stack.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Integer, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from tianyu.schema.base import SINGLE, UTC_DATETIME, Base, Pid


class StackEpoch(Base):
    """One stack of good frames in the order of time; positions count in its middle frame."""

    __tablename__ = "stack_epoch"

    run_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    scale: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    epoch: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    time_scale: Mapped[str] = mapped_column(String(24), comment="such as 5 frames, or 10 min")
    birth: Mapped[Pid] = mapped_column(comment="process that stacked and measured it")
    image_id: Mapped[int] = mapped_column(BigInteger, comment="the middle frame, whose grid it has")
    frames: Mapped[dict[str, Any]] = mapped_column(
        comment="ids of the images that were averaged, and of those left out"
    )
    n_frames: Mapped[int] = mapped_column(comment="frames averaged")
    exposure_s: Mapped[float] = mapped_column(comment="summed exposure, seconds")
    utc_mid: Mapped[datetime | None] = mapped_column(UTC_DATETIME, comment="as jd_utc_mid")
    jd_utc_mid: Mapped[float | None] = mapped_column(
        comment="mean of the mid-exposures weighted by exposure, days"
    )
    bjd_tdb_mid: Mapped[float | None] = mapped_column(comment="likewise, at the field centre")
    dbjd_dxi: Mapped[float | None] = mapped_column(comment="days per degree of xi")
    dbjd_deta: Mapped[float | None] = mapped_column(comment="days per degree of eta")
    airmass: Mapped[float | None] = mapped_column(SINGLE, comment="weighted likewise")
    transparency: Mapped[float | None] = mapped_column(SINGLE, comment="mean of the frames")


class StackFlux(Base):
    """One source in one stack through one aperture; fluxes are means per frame."""

    __tablename__ = "stack_flux"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - read from the class by SQLAlchemy

    run_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    source_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    scale: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    epoch: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    aperture: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    radius_pix: Mapped[float] = mapped_column(SINGLE, comment="aperture radius, pixels")
    flux: Mapped[float | None] = mapped_column(SINGLE, comment="mean; unit in reduction.flux_unit")
    flux_error: Mapped[float | None] = mapped_column(SINGLE, comment="1 sigma of the mean")
    background: Mapped[float | None] = mapped_column(SINGLE, comment="annulus, ADU per pixel")
    background_rms: Mapped[float | None] = mapped_column(SINGLE, comment="annulus, ADU per pixel")
    flags: Mapped[int] = mapped_column(Integer, comment="bits of FluxFlag")


class StackRelativeFlux(Base):
    """The flux of a source in a stack over that of the run's reference stars."""

    __tablename__ = "stack_relative_flux"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - read from the class by SQLAlchemy

    run_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    source_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    scale: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    epoch: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    aperture: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    relative_flux: Mapped[float | None] = mapped_column(SINGLE, comment="median 1 over the stacks")
    relative_flux_error: Mapped[float | None] = mapped_column(SINGLE, comment="1 sigma")
    flags: Mapped[int] = mapped_column(Integer, comment="bits of FluxFlag added by the comparison")
