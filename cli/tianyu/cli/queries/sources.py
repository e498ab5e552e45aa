"""The sources of a run with what it concluded of each."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, UnaryExpression, bindparam, select

from tianyu.schema.tables import (
    Aperture,
    Reduction,
    Source,
    SourcePhotometry,
    SourcePosition,
    Target,
)


class SourceOrder(StrEnum):
    """By what sources are sorted."""

    BRIGHTNESS = "brightness"
    """Brightest first."""
    SCATTER = "scatter"
    """Quietest light curve first."""
    EXCESS = "excess"
    """Largest scatter over what the errors predict first."""
    TREND = "trend"
    """Smoothest variation first: smallest von Neumann ratio."""


_ORDERS: dict[SourceOrder, UnaryExpression[Any]] = {
    SourceOrder.BRIGHTNESS: SourcePhotometry.mean_flux.desc(),
    SourceOrder.SCATTER: SourcePhotometry.scatter.asc(),
    SourceOrder.EXCESS: (SourcePhotometry.scatter / SourcePhotometry.expected_scatter).desc(),
    SourceOrder.TREND: SourcePhotometry.von_neumann.asc(),
}

_SOURCES = (
    select(
        SourcePhotometry.source_id,
        Target.name,
        SourcePosition.x,
        SourcePosition.y,
        SourcePosition.ra_deg,
        SourcePosition.dec_deg,
        SourcePhotometry.mean_flux,
        SourcePhotometry.scatter,
        SourcePhotometry.expected_scatter,
        SourcePhotometry.von_neumann,
        SourcePhotometry.n_epochs,
        SourcePhotometry.is_reference,
        Source.is_forced,
        Aperture.radius_pix,
    )
    .join(Reduction, Reduction.run_id == SourcePhotometry.run_id)
    .join(Source, Source.id == SourcePhotometry.source_id)
    .outerjoin(Target, Target.id == Source.target_id)
    .outerjoin(
        SourcePosition,
        (SourcePosition.template_image_id == Reduction.template_image_id)
        & (SourcePosition.source_id == SourcePhotometry.source_id),
    )
    .outerjoin(
        Aperture,
        (Aperture.run_id == SourcePhotometry.run_id)
        & (Aperture.aperture == SourcePhotometry.default_aperture),
    )
    .where(SourcePhotometry.run_id == bindparam("run"))
)


@dataclass(frozen=True)
class SourceRecord:
    """One source; fluxes in the unit of the run, scatter as a fraction of the flux."""

    source_id: int
    name: str | None
    x: float | None
    y: float | None
    ra_deg: float | None
    dec_deg: float | None
    mean_flux: float | None
    scatter: float | None
    expected_scatter: float | None
    von_neumann: float | None
    n_epochs: int
    is_reference: bool
    is_forced: bool
    radius_pix: float | None

    @property
    def excess(self) -> float | None:
        """Scatter over what the errors predict."""
        if self.scatter is None or not self.expected_scatter:
            return None
        return self.scatter / self.expected_scatter


def read_sources(
    connection: Connection, run: int, order: SourceOrder, limit: int
) -> list[SourceRecord]:
    """Return the first sources of a run in an order."""
    key = _ORDERS[order]
    # What is not known comes last in every dialect and every direction.
    query = _SOURCES.order_by(key.element.is_(None), key, SourcePhotometry.source_id).limit(limit)
    return [
        SourceRecord(
            source_id=row.source_id,
            name=row.name,
            x=row.x,
            y=row.y,
            ra_deg=row.ra_deg,
            dec_deg=row.dec_deg,
            mean_flux=row.mean_flux,
            scatter=row.scatter,
            expected_scatter=row.expected_scatter,
            von_neumann=row.von_neumann,
            n_epochs=row.n_epochs,
            is_reference=bool(row.is_reference),
            is_forced=bool(row.is_forced),
            radius_pix=row.radius_pix,
        )
        for row in connection.execute(query, {"run": run})
    ]
