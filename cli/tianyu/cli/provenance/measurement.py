"""What was measured at a point: the fluxes in every aperture, and why one of them counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, select

from tianyu.cli.provenance.ellipse import FrameEllipse, find_ellipse
from tianyu.cli.provenance.noise import Circumstances, ErrorTerms, error_terms
from tianyu.cli.provenance.point import PointKey
from tianyu.cli.queries.light_curve import ALL
from tianyu.pipelines.science.annulus import local_noise_factor
from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.flags import describe
from tianyu.pipelines.science.gain import MeasuredGain
from tianyu.pipelines.science.radius import N_LIKE
from tianyu.pipelines.science.scatter import mad_sigma
from tianyu.pipelines.science.sky import SkyModel
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.schema.tables import (
    Aperture,
    Flux,
    Frame,
    FrameVerdict,
    Image,
    Instrument,
    Observation,
    Reduction,
    RelativeFlux,
    SkyMesh,
    Source,
    SourcePhotometry,
    SourcePosition,
)


@dataclass(frozen=True)
class ApertureFlux:
    """One radius; ``scatter`` is that of the source's relative flux over the good frames."""

    radius_pix: float
    fwhm_factor: float | None
    flux: float | None
    flux_error: float | None
    relative_flux: float | None
    flags: tuple[str, ...]
    scatter: float | None
    is_default: bool


@dataclass(frozen=True)
class Measurement:
    """The point itself; flux, its error and the terms of it in ``flux_unit``."""

    point: Mapping[str, Any]
    """The row of the view ``light_curve_all``."""
    flux_unit: str
    flags: tuple[str, ...]
    terms: ErrorTerms
    x_pix: float | None
    y_pix: float | None
    """Where the aperture stood: 0-based pixel of the frame."""
    x_centroid_pix: float | None
    y_centroid_pix: float | None
    peak: float | None
    background: float | None
    background_rms: float | None
    gain: MeasuredGain | None
    sky_rms_adu: float | None
    """Scatter of a sky pixel at the source; None where the sky mesh has been purged."""
    aperture_reason: str
    ellipse: FrameEllipse | None
    """Shape of the apertures; None: circles."""
    apertures: tuple[ApertureFlux, ...]


def read_measurement(
    connection: Connection,
    key: PointKey,
    surroundings: Mapping[str, Any],
    gain: MeasuredGain | None,
) -> Measurement:
    """Return what was measured at a point, and the terms of its error.

    Parameters
    ----------
    connection : Connection
    key : PointKey
    surroundings : mapping
        What the steps of the run were told.
    gain : MeasuredGain or None
        That the photon noise rests on.
    """
    row = _flux_row(connection, key)
    frame = connection.execute(
        select(Frame.__table__, Image.exposure_s)
        .join(Image, Image.id == Frame.image_id)
        .where(Frame.run_id == key.run, Frame.image_id == key.image)
    ).one()
    x, y = _place(connection, key, frame)
    instrument = connection.execute(
        select(Instrument.__table__, Reduction.flux_unit)
        .join(Observation, Observation.instrument_id == Instrument.id)
        .join(Reduction, Reduction.observation_id == Observation.id)
        .where(Reduction.run_id == key.run)
    ).one()
    adu = gain.e_per_adu if gain is not None and instrument.flux_unit == "electron" else 1.0
    sky_rms = _sky_rms(connection, key, x, y, adu)
    around = Circumstances(
        flux_unit=instrument.flux_unit,
        gain_e_per_adu=None if gain is None else gain.e_per_adu,
        sky_rms_adu=sky_rms,
        read_noise_e=instrument.read_noise_e,
        airmass=frame.airmass,
        exposure_s=frame.exposure_s,
        aperture_m=instrument.aperture_m,
        altitude_m=surroundings.get("place", {}).get("altitude_m"),
    )
    point = _point(connection, key, row.radius_pix)
    apertures = _apertures(connection, key)
    ellipse = find_ellipse(connection, key)
    axis_ratio = 1.0 if ellipse is None else ellipse.axis_ratio
    return Measurement(
        point=point,
        flux_unit=instrument.flux_unit,
        flags=tuple(describe(int(point["flags"]))),
        terms=error_terms(row.flux, row.flux_error, row.radius_pix, around, axis_ratio),
        x_pix=x,
        y_pix=y,
        x_centroid_pix=row.x,
        y_centroid_pix=row.y,
        peak=row.peak,
        background=row.background,
        background_rms=row.background_rms,
        gain=gain,
        sky_rms_adu=sky_rms,
        aperture_reason=_reason(key, apertures, row.aperture),
        ellipse=ellipse,
        apertures=apertures,
    )


def _flux_row(connection: Connection, key: PointKey) -> Row[Any]:
    return connection.execute(
        select(Flux.__table__).where(
            Flux.run_id == key.run,
            Flux.source_id == key.source,
            Flux.image_id == key.image,
            Flux.aperture == key.aperture,
        )
    ).one()


def _point(connection: Connection, key: PointKey, radius_pix: float) -> dict[str, Any]:
    query = select(ALL).where(
        ALL.c.run_id == key.run, ALL.c.source_id == key.source, ALL.c.image_id == key.image
    )
    rows = connection.execute(query).mappings()
    return dict(min(rows, key=lambda row: abs(row["radius_pix"] - radius_pix)))


def _place(
    connection: Connection, key: PointKey, frame: Row[Any]
) -> tuple[float | None, float | None]:
    position = connection.execute(
        select(SourcePosition.x, SourcePosition.y)
        .join(Reduction, Reduction.template_image_id == SourcePosition.template_image_id)
        .where(Reduction.run_id == key.run, SourcePosition.source_id == key.source)
    ).one_or_none()
    if position is None or not frame.is_aligned:
        return None, None
    transform = AffineTransform(frame.a, frame.b, frame.c, frame.d, frame.tx, frame.ty)
    x, y = transform.apply(np.array([position.x]), np.array([position.y]))
    return float(x[0]), float(y[0])


def _sky_rms(
    connection: Connection, key: PointKey, x: float | None, y: float | None, adu: float
) -> float | None:
    """Return the noise of the sky that the error rests on: the mesh's, by the frame's annuli.

    ``adu`` is one ADU in the unit of the fluxes.
    """
    mesh = connection.scalar(
        select(SkyMesh.mesh).where(SkyMesh.run_id == key.run, SkyMesh.image_id == key.image)
    )
    if mesh is None or x is None or y is None:
        return None
    sky = SkyModel.from_bytes(mesh)
    places, annulus_rms = _annuli(connection, key)
    factor = local_noise_factor(annulus_rms, adu * sky.rms_at(*places))
    return factor * float(sky.rms_at(np.array([x]), np.array([y]))[0])


def _annuli(connection: Connection, key: PointKey) -> tuple[FloatArray, FloatArray]:
    """Return where the detected sources stand in a frame, (2, n), and the noise about them."""
    query = (
        select(SourcePosition.x, SourcePosition.y, Flux.background_rms)
        .join(Reduction, Reduction.template_image_id == SourcePosition.template_image_id)
        .join(Source, Source.id == SourcePosition.source_id)
        .join(Flux, (Flux.run_id == Reduction.run_id) & (Flux.source_id == Source.id))
        .where(Reduction.run_id == key.run, Source.is_forced.is_(False))
        .where(Flux.image_id == key.image, Flux.aperture == key.aperture)
    )
    frame = connection.execute(
        select(Frame.__table__).where(Frame.run_id == key.run, Frame.image_id == key.image)
    ).one()
    rows = np.array([tuple(row) for row in connection.execute(query)], dtype=float)
    x, y, rms = rows.reshape(-1, 3).T
    transform = AffineTransform(frame.a, frame.b, frame.c, frame.d, frame.tx, frame.ty)
    return np.stack(transform.apply(x, y)), rms


def _apertures(connection: Connection, key: PointKey) -> tuple[ApertureFlux, ...]:
    here = (Flux.run_id == key.run, Flux.source_id == key.source, Flux.image_id == key.image)
    query = (
        select(
            Flux.__table__,
            Aperture.fwhm_factor,
            RelativeFlux.relative_flux,
            SourcePhotometry.default_aperture,
        )
        .outerjoin(
            Aperture, (Aperture.run_id == Flux.run_id) & (Aperture.aperture == Flux.aperture)
        )
        .outerjoin(
            RelativeFlux,
            (RelativeFlux.run_id == Flux.run_id)
            & (RelativeFlux.source_id == Flux.source_id)
            & (RelativeFlux.image_id == Flux.image_id)
            & (RelativeFlux.aperture == Flux.aperture),
        )
        .outerjoin(
            SourcePhotometry,
            (SourcePhotometry.run_id == Flux.run_id)
            & (SourcePhotometry.source_id == Flux.source_id),
        )
        .where(*here)
        .order_by(Flux.aperture)
    )
    scatter = _scatter(connection, key)
    return tuple(
        ApertureFlux(
            radius_pix=row.radius_pix,
            fwhm_factor=row.fwhm_factor,
            flux=row.flux,
            flux_error=row.flux_error,
            relative_flux=row.relative_flux,
            flags=tuple(describe(row.flags)),
            scatter=scatter.get(row.aperture),
            is_default=row.default_aperture == row.aperture,
        )
        for row in connection.execute(query)
    )


def _scatter(connection: Connection, key: PointKey) -> dict[int, float]:
    """Return the robust scatter of the source's relative flux in each aperture."""
    query = (
        select(RelativeFlux.aperture, RelativeFlux.relative_flux)
        .join(
            FrameVerdict,
            (FrameVerdict.run_id == RelativeFlux.run_id)
            & (FrameVerdict.image_id == RelativeFlux.image_id),
        )
        .where(RelativeFlux.run_id == key.run, RelativeFlux.source_id == key.source)
        .where(FrameVerdict.is_good.is_(True), RelativeFlux.relative_flux.is_not(None))
    )
    values: dict[int, list[float]] = {}
    for row in connection.execute(query):
        values.setdefault(row.aperture, []).append(row.relative_flux)
    return {aperture: float(mad_sigma(np.array(found))) for aperture, found in values.items()}


def _reason(key: PointKey, apertures: tuple[ApertureFlux, ...], number: int) -> str:
    chosen = next((a for a in apertures if a.is_default), None)
    if chosen is None:
        return "no radius was chosen for this source: there is no relative photometry"
    rule = (
        f"of {len(apertures)} radii the one in which up to {N_LIKE} stars of like brightness are "
        "quietest over the night; the star itself has no vote"
    )
    if number == key.aperture and chosen is apertures[number]:
        return rule
    return f"asked for; chosen for the source was {chosen.radius_pix:.2f} px: {rule}"
