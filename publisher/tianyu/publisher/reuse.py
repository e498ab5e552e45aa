"""What a new run need not repeat: processes of an earlier one that would do the very same."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, exists, func, select

from tianyu.pipelines.adopting import ADOPTABLE
from tianyu.pipelines.step import find_step
from tianyu.publisher.recipe import Recipe
from tianyu.schema.directory import code_version
from tianyu.schema.states import State
from tianyu.schema.tables import Image, ImageCopy, Process, Reduction, Run, SkyMesh
from tianyu.schema.transitions.batches import in_batches
from tianyu.schema.transitions.publish import ProcessSpec

PRODUCT_FILES = frozenset({"partial_stack"})
"""Kinds that are read from files where the first run has left them."""


@dataclass(frozen=True)
class Reuse:
    """Stages of a recipe whose processes another run has done.

    Attributes
    ----------
    run_id : int
    stages : mapping of str to sequence of int
        Process ids by stage, in the order of the graph.
    kinds : tuple of str
        Kinds of rows to be taken over.
    """

    run_id: int
    stages: Mapping[str, Sequence[int]]
    kinds: tuple[str, ...]

    @property
    def n_processes(self) -> int:
        """Number of processes that are not repeated."""
        return sum(len(ids) for ids in self.stages.values())


def find_reusable(
    connection: Connection,
    observation_id: int,
    recipe: Recipe,
    processes: Sequence[ProcessSpec],
    site_id: int,
) -> Reuse | None:
    """Return the newest run of an observation that did the adoptable stages of a new one.

    The same means: by the same version of the code, the same command with the same parameters
    (frames, masters, everything), at the same site; succeeded; and what it left is still there.

    Parameters
    ----------
    connection : Connection
    observation_id : int
    recipe : Recipe
    processes : sequence of ProcessSpec
        The new run as it would be without reuse.
    site_id : int
    """
    stages = [stage for stage in recipe.stages if stage.is_adoptable]
    commands = [stage.step for stage in stages]
    wanted = [
        (p.command, p.queue_id, _text(p.parameters)) for p in processes if p.command in commands
    ]
    if not wanted:
        return None
    query = (
        select(Run.id)
        .join(Reduction, Reduction.run_id == Run.id)
        .where(
            Reduction.observation_id == observation_id,
            Run.recipe == recipe.name,
            Run.recipe_version == recipe.version,
            Run.code_version == code_version(),
        )
        .order_by(Run.id.desc())
    )
    for run_id in connection.scalars(query).all():
        done = _succeeded(connection, run_id, commands)
        ids = [done.get(key) for key in wanted]
        found = [process_id for process_id in ids if process_id is not None]
        if len(found) == len(wanted) and _is_whole(connection, run_id, commands, found, site_id):
            by_stage = {
                stage.name: [
                    i for i, key in zip(found, wanted, strict=True) if key[0] == stage.step
                ]
                for stage in stages
            }
            return Reuse(run_id, by_stage, _kinds(commands))
    return None


def _succeeded(
    connection: Connection, run_id: int, commands: Sequence[str]
) -> dict[tuple[str, int, str], int]:
    query = select(Process.id, Process.command, Process.queue_id, Process.parameters).where(
        Process.run_id == run_id,
        Process.command.in_(commands),
        Process.state == State.SUCCEEDED.value,
    )
    return {
        (row.command, row.queue_id, _text(row.parameters)): row.id
        for row in connection.execute(query)
    }


def _is_whole(
    connection: Connection,
    run_id: int,
    commands: Sequence[str],
    process_ids: Sequence[int],
    site_id: int,
) -> bool:
    """Tell whether what processes left has not been purged."""
    if not connection.scalar(select(exists().where(SkyMesh.run_id == run_id))):
        return False
    writers = [name for name in commands if PRODUCT_FILES & set(find_step(name).writes)]
    n_writers = n_files = 0
    for ids in in_batches(process_ids):
        of_writers = select(func.count()).where(Process.id.in_(ids), Process.command.in_(writers))
        n_writers += connection.scalar(of_writers) or 0
        files = (
            select(func.count())
            .select_from(Image)
            .join(ImageCopy, ImageCopy.image_id == Image.id)
            .where(
                Image.birth.in_(ids),
                Image.kind.in_(sorted(PRODUCT_FILES)),
                ImageCopy.site_id == site_id,
            )
        )
        n_files += connection.scalar(files) or 0
    return n_files == n_writers


def _kinds(commands: Sequence[str]) -> tuple[str, ...]:
    written = {kind for name in commands for kind in find_step(name).writes}
    return tuple(kind for kind in ADOPTABLE if kind in written)


def _text(parameters: Mapping[str, Any]) -> str:
    return json.dumps(parameters, sort_keys=True)
