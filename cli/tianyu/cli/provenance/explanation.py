"""Everything that one point of a light curve goes back to, gathered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from tianyu.cli.provenance.comparison import ReferenceSet, read_comparison
from tianyu.cli.provenance.gain import gain_of_run
from tianyu.cli.provenance.images import ImageOrigin, MasterOrigin, read_image, read_masters
from tianyu.cli.provenance.measurement import Measurement, read_measurement
from tianyu.cli.provenance.point import PointKey
from tianyu.cli.provenance.processes import Involved, involved_processes
from tianyu.cli.provenance.remake import remake_commands
from tianyu.cli.queries.frames import FrameRecord, read_frames
from tianyu.cli.words import utc_of
from tianyu.pipelines.science.gain import MeasuredGain
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.schema.database import Database
from tianyu.schema.tables import (
    CrossMatch,
    Frame,
    Image,
    Observation,
    Reduction,
    ReferenceFrame,
    Run,
    Source,
    SourcePosition,
    Stack,
    Target,
)


@dataclass(frozen=True)
class SourceOrigin:
    """What the source is, where it stands on the template, and what catalogues know of it."""

    source: int
    name: str | None
    is_forced: bool
    found_by: str
    template: Mapping[str, Any] | None
    """Position, brightness and width on the template; None where it is not on it."""
    catalogue: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class FrameOrigin:
    """The frame: what was measured in it, the verdict, and how it lies on the reference."""

    measured: FrameRecord
    n_matched: int | None
    scale: float | None
    matrix: tuple[float, ...] | None
    """a, b, c, d, tx, ty: reference pixels to frame pixels."""
    raw: ImageOrigin
    reference: ImageOrigin | None


@dataclass(frozen=True)
class TemplateOrigin:
    """The template on which the sources were found."""

    product: ImageOrigin
    n_frames: int | None
    exposure_s: float | None
    n_levels: int | None
    is_of_this_run: bool


@dataclass(frozen=True)
class RunOrigin:
    """The run and what was chosen when it was published."""

    run: int
    run_key: str
    recipe: str
    recipe_version: int
    code_version: str
    published: datetime | None
    observation: str
    is_current: bool
    parameters: Mapping[str, Any]
    notes: Mapping[str, Any]


@dataclass(frozen=True)
class Explanation:
    """One point and everything behind it."""

    source: SourceOrigin
    measurement: Measurement
    comparison: ReferenceSet | None
    frame: FrameOrigin
    masters: Mapping[str, MasterOrigin | None]
    pattern: ImageOrigin | None
    """Fixed pattern of the detector that was taken off; None: none was found."""
    template: TemplateOrigin | None
    run: RunOrigin
    processes: tuple[Involved, ...]
    remake: tuple[str, ...]


def explain(
    database: Database,
    key: PointKey,
    *,
    root: Path | None = None,
    url: str | None = None,
) -> Explanation:
    """Gather everything that a point goes back to; files are compared with what is stored.

    Parameters
    ----------
    database : Database
    key : PointKey
    root : Path, optional
        Where the site's files are, if not where the database says.
    url : str, optional
        Of the database, to be named in the commands at the end.
    """
    with database.read() as connection:
        run = _run(connection, key.run)
    gain = gain_of_run(database, key.run, run.parameters.get("surroundings", {}))
    with database.read() as connection:
        return _gather(connection, key, run, gain, root, url)


def _gather(
    connection: Connection,
    key: PointKey,
    run: RunOrigin,
    gain: MeasuredGain | None,
    root: Path | None,
    url: str | None,
) -> Explanation:
    surroundings = run.parameters.get("surroundings", {})
    measurement = read_measurement(connection, key, surroundings, gain)
    return Explanation(
        source=_source(connection, key),
        measurement=measurement,
        comparison=read_comparison(connection, key, measurement.point),
        frame=_frame(connection, key, root),
        masters=read_masters(connection, surroundings.get("calibration", {}), root),
        pattern=_pattern(connection, key.run, root),
        template=_template(connection, key.run, root),
        run=run,
        processes=tuple(involved_processes(connection, key.run, key.image)),
        remake=tuple(remake_commands(connection, key.run, root=root, database=url)),
    )


def _run(connection: Connection, run_id: int) -> RunOrigin:
    row = connection.execute(
        select(
            Run.__table__,
            Reduction.notes,
            Observation.name.label("observation"),
            Observation.current_run_id,
        )
        .join(Reduction, Reduction.run_id == Run.id)
        .join(Observation, Observation.id == Reduction.observation_id)
        .where(Run.id == run_id)
    ).one()
    return RunOrigin(
        run=row.id,
        run_key=row.run_key,
        recipe=row.recipe,
        recipe_version=row.recipe_version,
        code_version=row.code_version,
        published=utc_of(row.created_us),
        observation=row.observation,
        is_current=row.current_run_id == row.id,
        parameters=row.parameters,
        notes=row.notes,
    )


def _source(connection: Connection, key: PointKey) -> SourceOrigin:
    source = connection.execute(
        select(Source.__table__, Target.name)
        .outerjoin(Target, Target.id == Source.target_id)
        .where(Source.id == key.source)
    ).one()
    position = connection.execute(
        select(SourcePosition.__table__)
        .join(Reduction, Reduction.template_image_id == SourcePosition.template_image_id)
        .where(Reduction.run_id == key.run, SourcePosition.source_id == key.source)
    ).mappings()
    matches = connection.execute(
        select(CrossMatch.__table__)
        .where(CrossMatch.source_id == key.source)
        .order_by(CrossMatch.catalogue, CrossMatch.neighbour)
    ).mappings()
    found = position.one_or_none()
    return SourceOrigin(
        source=source.id,
        name=source.name,
        is_forced=bool(source.is_forced),
        found_by=str(source.birth),
        template=None if found is None else dict(found),
        catalogue=tuple(dict(match) for match in matches),
    )


def _frame(connection: Connection, key: PointKey, root: Path | None) -> FrameOrigin:
    measured = next(f for f in read_frames(connection, key.run) if f.image_id == key.image)
    row = connection.execute(
        select(Frame.__table__).where(Frame.run_id == key.run, Frame.image_id == key.image)
    ).one()
    transform = None
    if row.is_aligned:
        transform = AffineTransform(row.a, row.b, row.c, row.d, row.tx, row.ty)
    reference = connection.scalar(
        select(ReferenceFrame.image_id).where(ReferenceFrame.run_id == key.run)
    )
    raw = read_image(connection, key.image, sha256=row.raw_checksum, root=root)
    return FrameOrigin(
        measured=measured,
        n_matched=row.n_matched,
        scale=None if transform is None else transform.scale,
        matrix=(row.a, row.b, row.c, row.d, row.tx, row.ty) if transform is not None else None,
        raw=raw,
        reference=None if reference is None else read_image(connection, reference, root=root),
    )


def _pattern(connection: Connection, run_id: int, root: Path | None) -> ImageOrigin | None:
    image_id = connection.scalar(
        select(Image.id).where(Image.run_id == run_id, Image.kind == "fixed_pattern").limit(1)
    )
    return None if image_id is None else read_image(connection, image_id, root=root)


def _template(connection: Connection, run_id: int, root: Path | None) -> TemplateOrigin | None:
    image_id = connection.scalar(
        select(Reduction.template_image_id).where(Reduction.run_id == run_id)
    )
    if image_id is None:
        return None
    node = connection.execute(
        select(Stack.__table__).where(Stack.image_id == image_id)
    ).one_or_none()
    product = read_image(connection, image_id, root=root)
    return TemplateOrigin(
        product=product,
        n_frames=None if node is None else node.n_frames,
        exposure_s=None if node is None else node.exposure_s,
        n_levels=None if node is None else node.level,
        is_of_this_run=product.run == run_id,
    )
