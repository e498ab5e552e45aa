"""Tables of sources on a sky, where they stand on a template, and what catalogues know of them."""

from sqlalchemy import BigInteger, ForeignKey, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from tianyu.schema.base import SINGLE, Base, Pid, Serial


class Source(Base):
    """A fixed position on a sky; keeps its id over all nights of that sky."""

    __tablename__ = "source"

    id: Mapped[Serial]
    sky_id: Mapped[int] = mapped_column(ForeignKey("sky.id"), index=True)
    target_id: Mapped[int | None] = mapped_column(ForeignKey("target.id"), index=True)
    birth: Mapped[Pid] = mapped_column(comment="process that found it first")
    is_forced: Mapped[bool] = mapped_column(comment="1: placed by a person, not detected")


class SourcePosition(Base):
    """Where a source stands on one template."""

    __tablename__ = "source_position"

    template_image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    x: Mapped[float] = mapped_column(comment="0-based pixel of the reference frame")
    y: Mapped[float] = mapped_column(comment="0-based pixel of the reference frame")
    ra_deg: Mapped[float | None] = mapped_column(comment="ICRS, degrees; NULL: no WCS")
    dec_deg: Mapped[float | None] = mapped_column(comment="ICRS, degrees; NULL: no WCS")
    xi_deg: Mapped[float | None] = mapped_column(comment="gnomonic offset, degrees")
    eta_deg: Mapped[float | None] = mapped_column(comment="gnomonic offset, degrees")
    flux: Mapped[float | None] = mapped_column(SINGLE, comment="on the template, ADU per frame")
    peak: Mapped[float | None] = mapped_column(SINGLE, comment="on the template, ADU")
    fwhm_pix: Mapped[float | None] = mapped_column(SINGLE, comment="pixels")
    elongation: Mapped[float | None] = mapped_column(SINGLE, comment="a/b")
    snr: Mapped[float | None] = mapped_column(SINGLE, comment="signal to noise of the detection")
    neighbour_pix: Mapped[float | None] = mapped_column(
        SINGLE, comment="distance to the nearest other source, pixels"
    )


class SkyWcs(Base):
    """Where a template lies on the sky: a gnomonic solution in pixels of its reference frame."""

    __tablename__ = "sky_wcs"

    template_image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)
    sky_id: Mapped[int] = mapped_column(ForeignKey("sky.id"), index=True)
    birth: Mapped[Pid] = mapped_column(comment="process that found it")
    origin: Mapped[str] = mapped_column(String(190), comment="header, or name of the index file")
    crval1_deg: Mapped[float] = mapped_column(comment="right ascension of the tangent point")
    crval2_deg: Mapped[float] = mapped_column(comment="declination of the tangent point")
    crpix1: Mapped[float] = mapped_column(comment="tangent point, 0-based pixel")
    crpix2: Mapped[float] = mapped_column(comment="tangent point, 0-based pixel")
    cd11: Mapped[float] = mapped_column(comment="degrees per pixel")
    cd12: Mapped[float] = mapped_column(comment="degrees per pixel")
    cd21: Mapped[float] = mapped_column(comment="degrees per pixel")
    cd22: Mapped[float] = mapped_column(comment="degrees per pixel")
    pixel_scale_arcsec: Mapped[float] = mapped_column(comment="arcseconds per pixel")
    rms_arcsec: Mapped[float | None] = mapped_column(
        comment="of the matched stars, both axes together; NULL: not verified"
    )
    n_stars: Mapped[int | None] = mapped_column(comment="matched stars; NULL: not verified")
    solved_s: Mapped[float | None] = mapped_column(comment="time of the search, seconds")


class CrossMatch(Base):
    """A catalogue entry near a source; up to three per catalogue."""

    __tablename__ = "cross_match"

    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    catalogue: Mapped[str] = mapped_column(String(32), primary_key=True)
    neighbour: Mapped[int] = mapped_column(
        SmallInteger, primary_key=True, autoincrement=False, comment="1 is the nearest"
    )
    catalogue_id: Mapped[str] = mapped_column(String(64))
    separation_arcsec: Mapped[float] = mapped_column(comment="at the epoch, arcseconds")
    ra_deg: Mapped[float] = mapped_column(comment="at the epoch, ICRS, degrees")
    dec_deg: Mapped[float] = mapped_column(comment="at the epoch, ICRS, degrees")
    magnitude: Mapped[float | None] = mapped_column(SINGLE, comment="catalogue's own band, mag")
    colour: Mapped[float | None] = mapped_column(SINGLE, comment="catalogue's colour index, mag")
    is_variable: Mapped[bool | None] = mapped_column(comment="NULL: the catalogue does not say")


class SourcePhotometry(Base):
    """What one run concluded of one source."""

    __tablename__ = "source_photometry"

    run_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    default_aperture: Mapped[int] = mapped_column(SmallInteger)
    group_id: Mapped[int | None] = mapped_column(BigInteger, comment="reference group used")
    is_reference: Mapped[bool]
    n_epochs: Mapped[int] = mapped_column(comment="good frames with a relative flux")
    mean_flux: Mapped[float | None] = mapped_column(comment="over good frames, unit of the run")
    scatter: Mapped[float | None] = mapped_column(comment="robust, of the relative flux")
    expected_scatter: Mapped[float | None] = mapped_column(comment="from the stored errors")
    von_neumann: Mapped[float | None] = mapped_column(comment="von Neumann ratio; white noise: 2")
