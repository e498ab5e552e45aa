"""With whom a point was compared: the reference stars, their weights and the zero point."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from tianyu.cli.provenance.point import PointKey
from tianyu.pipelines.science.candidates import HARMLESS_FLAGS
from tianyu.pipelines.science.flags import describe
from tianyu.schema.tables import (
    Flux,
    ReferenceGroup,
    ReferenceMember,
    RelativeFlux,
    Source,
    SourcePhotometry,
    Target,
)


@dataclass(frozen=True)
class Reference:
    """One reference star, as it was in the frame of the point and in its aperture."""

    source: int
    name: str | None
    weight: float
    share: float
    """Of the sum of weights; the star itself, where it is a reference, has none."""
    is_borrowed: bool
    flux: float | None
    flags: tuple[str, ...]
    is_used: bool
    """Measured in this frame without a flag, and not the source itself."""


@dataclass(frozen=True)
class ReferenceSet:
    """The group of references, and what the comparison made of the point.

    Attributes
    ----------
    zero_point : float
        Flux over relative flux: what the references say a relative flux of 1 is, here and now.
    night_scale : float
        By which the night is brought to the scale of the others of its sky.
    own_error, reference_error : float
        Parts of the error of the relative flux: of the stored error of the source, and of all
        else, which is its references and, where they are known, scintillation and the flat.
    is_reference : bool
        Whether the source itself serves others.
    """

    method: str
    note: str | None
    snr: float | None
    relative_flux: float
    relative_flux_error: float | None
    night_scale: float | None
    zero_point: float | None
    own_error: float | None
    reference_error: float | None
    flags: tuple[str, ...]
    is_reference: bool
    references: tuple[Reference, ...]


def read_comparison(
    connection: Connection, key: PointKey, point: Mapping[str, Any]
) -> ReferenceSet | None:
    """Return the comparison of a point; None where it was not compared."""
    relative = connection.execute(
        select(RelativeFlux.__table__).where(
            RelativeFlux.run_id == key.run,
            RelativeFlux.source_id == key.source,
            RelativeFlux.image_id == key.image,
            RelativeFlux.aperture == key.aperture,
        )
    ).one_or_none()
    group = _group(connection, key)
    if relative is None or group is None:
        return None
    flux, error = point["flux"], point["flux_error"]
    # Of the light curve: on one scale with other nights of the sky.
    value, total = point["relative_flux"], point["relative_flux_error"]
    zero = flux / value if value else None
    own = error / abs(zero) if zero and error is not None else None
    others = None
    if own is not None and total is not None:
        others = math.sqrt(max(total**2 - own**2, 0.0))
    return ReferenceSet(
        method=group.method,
        note=group.note,
        snr=group.snr,
        relative_flux=value,
        relative_flux_error=total,
        night_scale=value / relative.relative_flux if relative.relative_flux else None,
        zero_point=zero,
        own_error=own,
        reference_error=others,
        flags=tuple(describe(relative.flags)),
        is_reference=bool(group.is_reference),
        references=_references(connection, key, group.id),
    )


def _group(connection: Connection, key: PointKey) -> Row[Any] | None:
    """Return the group; where every radius has references of its own, that of the point's."""
    group = connection.execute(
        select(
            ReferenceGroup.__table__,
            SourcePhotometry.is_reference,
            SourcePhotometry.default_aperture,
        )
        .join(SourcePhotometry, SourcePhotometry.group_id == ReferenceGroup.id)
        .where(SourcePhotometry.run_id == key.run, SourcePhotometry.source_id == key.source)
    ).one_or_none()
    is_own = group is not None and group.number == group.default_aperture
    if group is None or group.method != "ensemble" or not is_own:
        return group
    return connection.execute(
        select(ReferenceGroup.__table__, SourcePhotometry.is_reference)
        .join(SourcePhotometry, SourcePhotometry.run_id == ReferenceGroup.run_id)
        .where(SourcePhotometry.run_id == key.run, SourcePhotometry.source_id == key.source)
        .where(ReferenceGroup.number == key.aperture)
    ).one_or_none()


def _references(connection: Connection, key: PointKey, group: int) -> tuple[Reference, ...]:
    query = (
        select(ReferenceMember.__table__, Target.name, Flux.flux, Flux.flags)
        .join(Source, Source.id == ReferenceMember.source_id)
        .outerjoin(Target, Target.id == Source.target_id)
        .outerjoin(
            Flux,
            (Flux.source_id == ReferenceMember.source_id)
            & (Flux.run_id == key.run)
            & (Flux.image_id == key.image)
            & (Flux.aperture == key.aperture),
        )
        .where(ReferenceMember.group_id == group)
        .order_by(ReferenceMember.weight.desc(), ReferenceMember.source_id)
    )
    rows = connection.execute(query).all()
    total = sum(row.weight for row in rows if row.source_id != key.source)
    return tuple(
        Reference(
            source=row.source_id,
            name=row.name,
            weight=row.weight,
            share=row.weight / total if total and row.source_id != key.source else 0.0,
            is_borrowed=bool(row.is_borrowed),
            flux=row.flux,
            flags=tuple(describe(row.flags or 0)),
            is_used=row.source_id != key.source and _is_usable(row),
        )
        for row in rows
    )


def _is_usable(row: Row[Any]) -> bool:
    return row.flux is not None and not row.flags & ~int(HARMLESS_FLAGS)
