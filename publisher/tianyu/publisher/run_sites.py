"""Where a run is done: the sites of its frames and of its light curves, with a GPU or without."""

from dataclasses import dataclass

from sqlalchemy import Connection, exists, select

from tianyu.pipelines.kernels import GPU_GROUP
from tianyu.publisher.recipe import Recipe, RunsAt, Scope
from tianyu.schema.errors import GraphError, NotFoundError
from tianyu.schema.tables import HardwareGroup, Process, Queue, Site


@dataclass(frozen=True)
class RunSites:
    """Ids of two sites, mostly the same."""

    frames: int
    science: int


def sites_of(connection: Connection, run_id: int, recipe: Recipe) -> RunSites:
    """Return the sites that a run was published for, as its queues tell.

    Raises
    ------
    NotFoundError
        If nothing of the run is left.
    """
    query = (
        select(Process.command, Queue.site_id)
        .join(Queue, Queue.id == Process.queue_id)
        .where(Process.run_id == run_id)
        .distinct()
    )
    found = {row.command: int(row.site_id) for row in connection.execute(query)}
    if not found:
        raise NotFoundError(f"run {run_id} has no processes; publish the observation anew")
    # A tree may grow at both sites.
    whole = [stage for stage in recipe.stages if stage.scope is not Scope.TREE]
    at = {stage.runs_at: found[stage.step] for stage in whole if stage.step in found}
    frames = at.get(RunsAt.FRAMES, next(iter(found.values())))
    return RunSites(frames, at.get(RunsAt.SCIENCE, frames))


def used_gpu(connection: Connection, run_id: int) -> bool:
    """Tell whether consumers of group gpu had a part in a run."""
    query = (
        exists()
        .where(Process.run_id == run_id)
        .where(Queue.id == Process.queue_id)
        .where(HardwareGroup.id == Queue.group_id, HardwareGroup.name == GPU_GROUP)
    )
    return bool(connection.scalar(select(query)))


def check_served(connection: Connection, site_id: int, science_site_id: int) -> None:
    """Check that one site can have the files of another.

    Raises
    ------
    NotFoundError
        If there is no such site.
    GraphError
        If the site of the frames has no file service.
    """
    query = select(Site.id, Site.name, Site.address).where(Site.id.in_([site_id, science_site_id]))
    sites = {row.id: row for row in connection.execute(query)}
    for wanted in (site_id, science_site_id):
        if wanted not in sites:
            raise NotFoundError(f"there is no site {wanted}; make it first")
    owner = sites[site_id]
    if owner.address is None:
        raise GraphError(
            f"site {sites[science_site_id].name!r} needs files of site {owner.name!r}, whose file "
            "service has no address; start `tianyu serve-files` there and give its URL: tianyu "
            f"site add {owner.name} --address URL"
        )
