"""Tables of frames and products, where copies of them lie, and what one run found in each frame."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tianyu.schema.base import SINGLE, UTC_DATETIME, Base, Microseconds, Name, Pid, Serial


class Image(Base):
    """One raw frame or one product; what it is never changes once the row is there."""

    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("observation_id", "fingerprint"),
        Index("ix_image_birth", "birth"),
        Index("ix_image_name", "name"),
    )

    id: Mapped[Serial]
    kind: Mapped[str] = mapped_column(String(24), comment="bias, dark, flat, light or a product")
    name: Mapped[Name] = mapped_column(comment="file name without folder")
    observation_id: Mapped[int | None] = mapped_column(ForeignKey("observation.id"))
    run_id: Mapped[int | None] = mapped_column(BigInteger, comment="of a product; NULL: raw")
    birth: Mapped[Pid | None] = mapped_column(comment="process that made it; NULL: raw")
    width: Mapped[int] = mapped_column(comment="pixels along x")
    height: Mapped[int] = mapped_column(comment="pixels along y")
    binning: Mapped[int]
    exposure_s: Mapped[float | None] = mapped_column(comment="seconds")
    utc_start: Mapped[datetime | None] = mapped_column(UTC_DATETIME, comment="exposure start, UTC")
    utc_mid: Mapped[datetime | None] = mapped_column(UTC_DATETIME, comment="mid-exposure, UTC")
    fingerprint: Mapped[str | None] = mapped_column(
        String(64), comment="SHA-256 of size, first and last 64 KiB: identity at registration"
    )
    header: Mapped[dict[str, Any]] = mapped_column(
        comment="what was read from the header, or how a product was made"
    )


class ImageCopy(Base):
    """A file that holds an image at one site."""

    __tablename__ = "image_copy"

    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"), primary_key=True)
    path: Mapped[str] = mapped_column(
        Text, comment="relative to the site's root, '/' as separator, valid on every platform"
    )
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    checksum: Mapped[str | None] = mapped_column(String(64), comment="SHA-256 of the file")
    created_us: Mapped[Microseconds] = mapped_column(comment="µs since 1970 UTC")


class ReferenceFrame(Base):
    """The frame that all others of a run are aligned to, and the canvas of its stacks."""

    __tablename__ = "reference_frame"

    run_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    canvas_x0: Mapped[int] = mapped_column(comment="reference pixel of the canvas's first column")
    canvas_y0: Mapped[int] = mapped_column(comment="reference pixel of the canvas's first row")
    canvas_width: Mapped[int] = mapped_column(comment="pixels")
    canvas_height: Mapped[int] = mapped_column(comment="pixels")
    stars: Mapped[bytes] = mapped_column(comment="star list of the reference frame, packed")
    limits: Mapped[dict[str, Any]] = mapped_column(comment="provisional limits of pass 1")


class Frame(Base):
    """What one run measured in one raw frame when calibrating and aligning it.

    ``x' = a·x + b·y + tx``, ``y' = c·x + d·y + ty`` maps reference pixels to frame pixels.
    """

    __tablename__ = "frame"
    __table_args__ = (Index("ix_frame_aligned_by", "aligned_by"),)

    run_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)
    aligned_by: Mapped[Pid]
    is_aligned: Mapped[bool]
    is_stacked: Mapped[bool] = mapped_column(comment="1: in the partial stack of pass 1")
    n_stars: Mapped[int | None] = mapped_column(comment="stars above the counting threshold")
    n_matched: Mapped[int | None] = mapped_column(comment="stars matched with the reference")
    residual_pix: Mapped[float | None] = mapped_column(SINGLE, comment="rms of the match, pixels")
    fwhm_pix: Mapped[float | None] = mapped_column(SINGLE, comment="median of bright stars, pixels")
    elongation: Mapped[float | None] = mapped_column(SINGLE, comment="median a/b of bright stars")
    sky_level: Mapped[float | None] = mapped_column(SINGLE, comment="median background, ADU")
    sky_rms: Mapped[float | None] = mapped_column(SINGLE, comment="background rms per pixel, ADU")
    transparency: Mapped[float | None] = mapped_column(
        SINGLE, comment="median flux of bright stars relative to the reference frame"
    )
    a: Mapped[float | None]
    b: Mapped[float | None]
    c: Mapped[float | None]
    d: Mapped[float | None]
    tx: Mapped[float | None] = mapped_column(comment="pixels")
    ty: Mapped[float | None] = mapped_column(comment="pixels")
    utc_mid: Mapped[datetime | None] = mapped_column(UTC_DATETIME, comment="mid-exposure, UTC")
    jd_utc_mid: Mapped[float | None] = mapped_column(comment="mid-exposure, days")
    bjd_tdb_mid: Mapped[float | None] = mapped_column(comment="at the field centre, days")
    dbjd_dxi: Mapped[float | None] = mapped_column(comment="days per degree of xi")
    dbjd_deta: Mapped[float | None] = mapped_column(comment="days per degree of eta")
    airmass: Mapped[float | None] = mapped_column(SINGLE)
    raw_checksum: Mapped[str | None] = mapped_column(
        String(64), comment="SHA-256 of the raw file as this run read it"
    )
    hjd_utc_mid: Mapped[float | None] = mapped_column(comment="at the field centre, UTC, days")
    moon_distance_deg: Mapped[float | None] = mapped_column(
        SINGLE, comment="from the field centre, degrees"
    )
    moon_altitude_deg: Mapped[float | None] = mapped_column(SINGLE, comment="airless, degrees")
    moon_illumination: Mapped[float | None] = mapped_column(
        SINGLE, comment="lit fraction of the disc: 0 new, 1 full"
    )
    time_note: Mapped[str | None] = mapped_column(
        Text, comment="where the header's own times or airmass disagree with those here"
    )
    problem: Mapped[str | None] = mapped_column(Text, comment="why it could not be used, in words")


class SkyMesh(Base):
    """The sky of one frame on its coarse mesh, so that pass 2 subtracts exactly the same."""

    __tablename__ = "sky_mesh"

    run_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)
    mesh: Mapped[bytes]


class FrameVerdict(Base):
    """The final word on one frame of a run."""

    __tablename__ = "frame_verdict"

    run_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)
    is_good: Mapped[bool]
    reject_bits: Mapped[int]
    reason: Mapped[str] = mapped_column(Text, comment="which tests rejected it, and by how much")


class FrameOverride(Base):
    """What a person said of a frame; rows are only ever added, the newest of a frame counts."""

    __tablename__ = "frame_override"

    id: Mapped[Serial]
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), index=True)
    verdict: Mapped[str] = mapped_column(String(8), comment="reject, accept, or reset: no longer")
    reason: Mapped[str | None] = mapped_column(Text, comment="in the person's words")
    author: Mapped[Name] = mapped_column(comment="who said it")
    created_us: Mapped[Microseconds] = mapped_column(comment="µs since 1970 UTC")


class Stack(Base):
    """One node of the stacking tree: a deep image of part of the night, or the template."""

    __tablename__ = "stack"

    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)
    run_id: Mapped[int] = mapped_column(BigInteger, index=True)
    level: Mapped[int] = mapped_column(comment="0: partial stack of one chunk; the root is highest")
    position: Mapped[int] = mapped_column(comment="order in time within the level")
    n_frames: Mapped[int] = mapped_column(comment="good frames in it")
    jd_utc_mid: Mapped[float | None] = mapped_column(comment="mean mid-exposure, days")
    exposure_s: Mapped[float] = mapped_column(comment="summed exposure, seconds")
