"""An open night: frames are registered and measured as they come, until it is closed.

What a watcher knows is in the database, so that one that was stopped goes on where it was:
frames are known by their fingerprints, the run that grows by its recipe, its processes by their
frames.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection, func, select

from tianyu.pipelines.fits import FrameKind
from tianyu.publisher.closing import close_observation, reduced_run
from tianyu.publisher.grouping import FrameGroup
from tianyu.publisher.live import (
    LiveProcess,
    find_live_run,
    is_over,
    measure_live,
    processes_of,
    publish_live,
)
from tianyu.publisher.opennights import OpenNights
from tianyu.publisher.openobservation import OpenObservation
from tianyu.publisher.placing import own_folders
from tianyu.publisher.publishing import publish
from tianyu.publisher.recipes import LIGHT_CURVES, LIVE
from tianyu.publisher.registering import (
    RegisteredObservation,
    RegisterRequest,
    Registration,
    TargetRequest,
    register_scanned,
)
from tianyu.publisher.scanning import Rejected, scan
from tianyu.publisher.settling import WholeFile
from tianyu.publisher.step_options import check_step_options, options_for
from tianyu.schema.database import Database
from tianyu.schema.states import State
from tianyu.schema.tables import Image, Process, Reduction, Run
from tianyu.schema.transitions.batches import in_batches

TEMPLATE_FRAMES = 10
"""First frames of a night of which its template is made, where no other night has left one."""

LIGHT = FrameKind.LIGHT.value


class NightWatch:
    """Takes files that are whole, and keeps every open observation moving.

    Parameters
    ----------
    database : Database
    request : RegisterRequest
        What a person said of the frames; its paths do not matter.
    template_frames : int
        First frames of which a template is made.

    Raises
    ------
    GraphError
        If the options fit no recipe.
    """

    def __init__(
        self,
        database: Database,
        request: RegisterRequest,
        template_frames: int = TEMPLATE_FRAMES,
    ) -> None:
        check_step_options(request.options.steps)
        self._database = database
        self._names = OpenNights(
            request.observation, request.target.name if request.target else None
        )
        self._request = replace(request, observation=None, publish=False, name_of=self._name_of)
        self._template_frames = template_frames
        self._whole_at: dict[str, float] = {}
        self.open: dict[int, OpenObservation] = {}
        self.calibration: dict[int, RegisteredObservation] = {}
        self.rejected: list[Rejected] = []
        self.n_taken = 0

    def take(self, files: Sequence[WholeFile]) -> list[Rejected]:
        """Register files that are whole; return those that are no usable frames, and why."""
        if not files:
            return []
        found = scan([file.path for file in files], leave_out=own_folders(self._request.root))
        whole_at = {file.path: file.whole_at for file in files}
        for frame in found.frames:
            self._whole_at.setdefault(frame.fingerprint, whole_at.get(frame.path, time.time()))
        self.refuse(found.rejected)
        if found.frames:
            target = self._known_target([frame.path for frame in found.frames])
            request = replace(self._request, target=target)
            registration = register_scanned(self._database, request, found)
            for observation in registration.observations:
                self._note(observation)
        return list(found.rejected)

    def refuse(self, files: Sequence[Rejected]) -> None:
        """Note files that cannot be used."""
        self.rejected += files

    def advance(self) -> bool:
        """Publish what has become possible; return whether workers have something new to do."""
        moved = False
        for night in self.open.values():
            try:
                moved |= self._advance(night)
            except BaseException:
                # Whatever was not published is tried again.
                night.is_stale = True
                raise
        return moved

    def is_closed(self) -> bool:
        """Tell whether somebody has closed every night of this watch meanwhile."""
        nights = [night for night in self.open.values() if not night.reduced_run]
        live = [night for night in nights if night.live_run is not None]
        if not live or len(live) < len(nights):
            return False
        with self._database.read() as connection:
            return all(_has_later_run(connection, night) for night in live)

    def close(self) -> Registration:
        """Publish the whole night's reduction, as a folder of all its frames would be.

        Returns
        -------
        Registration
            With its runs, calibration first.
        """
        observations = [
            *(self._published(o) for o in self.calibration.values()),
            *(self._published(n.observation) for n in self.open.values() if not n.reduced_run),
        ]
        return Registration(tuple(observations), tuple(self.rejected), ())

    def _published(self, observation: RegisteredObservation) -> RegisteredObservation:
        return close_observation(
            self._database, observation, self._request.site_id, self._request.options
        )

    def _name_of(self, group: FrameGroup) -> str | None:
        with self._database.read() as connection:
            return self._names.name_of(connection, group)

    def _known_target(self, paths: Sequence[Path]) -> TargetRequest | None:
        """Return the target, without its pixel as long as the frame it is in has not come."""
        target = self._request.target
        if target is None or target.frame is None:
            return target
        stems = {path.name.lower().split(".")[0] for path in paths}
        if Path(target.frame).name.lower().split(".")[0] in stems:
            return target
        return TargetRequest(target.name, target.ra_deg, target.dec_deg)

    def _note(self, observation: RegisteredObservation) -> None:
        self.n_taken += observation.n_new
        key = observation.observation_id
        if observation.kind != LIGHT:
            self.calibration[key] = observation
            return
        night = self.open.setdefault(key, OpenObservation(observation, self._template_frames))
        night.observation, night.is_stale = observation, True

    def _advance(self, night: OpenObservation) -> bool:
        if night.newest_before is None:
            self._resume(night)
        if night.live_run is None and night.is_stale:
            with self._database.read() as connection:
                observation_id = night.observation.observation_id
                night.reduced_run = reduced_run(connection, observation_id)
            night.is_stale = night.reduced_run is None
        if night.live_run is None:
            return self._begin(night)
        added = []
        if night.is_stale:
            added = measure_live(self._database, night.live_run, self._request.site_id)
            if added:
                with self._database.read() as connection:
                    self._wait_for(connection, night, added)
            night.is_stale = False
        if night.waiting:
            self._follow(night)
        return bool(added)

    def _resume(self, night: OpenObservation) -> None:
        """Go on with what a watcher before this one has begun."""
        observation_id = night.observation.observation_id
        newest = select(func.max(Reduction.run_id)).where(
            Reduction.observation_id == observation_id
        )
        with self._database.read() as connection:
            night.newest_before = connection.scalar(newest) or 0
            night.live_run = find_live_run(connection, observation_id)
            if night.live_run is not None:
                self._wait_for(connection, night, processes_of(connection, night.live_run))

    def _begin(self, night: OpenObservation) -> bool:
        """Find a template, or make one; begin to measure when it is there."""
        if night.template_run is None:
            if not night.is_stale:
                return False
            self._publish_masters()
        elif not self._has_ended(night.template_run):
            return False
        night.is_stale = False
        observation_id = night.observation.observation_id
        night.live_run = publish_live(
            self._database,
            observation_id,
            self._request.site_id,
            options_for(self._request.options, LIGHT),
            template_run=night.template_run,
        )
        if night.live_run is None:
            return self._make_template(night)
        with self._database.read() as connection:
            self._wait_for(connection, night, processes_of(connection, night.live_run))
        return True

    def _make_template(self, night: OpenObservation) -> bool:
        """Reduce the first frames, once there are enough; more of them where that has failed."""
        n_frames = self._count(night.observation.observation_id)
        if n_frames < night.n_wanted:
            return False
        options = options_for(self._request.options, LIGHT)
        first = replace(options, recipe=LIGHT_CURVES.name, first_frames=night.n_wanted)
        observation_id, site_id = night.observation.observation_id, self._request.site_id
        run = publish(self._database, observation_id, site_id, first)
        if night.template_run is None or run.is_new:
            # New although it had failed: masters that failed too are passed over.
            night.template_run = run.run_id
            return True
        night.template_run, night.n_wanted = None, 2 * night.n_wanted
        return False

    def _has_ended(self, run_id: int) -> bool:
        with self._database.read() as connection:
            return is_over(connection, run_id)

    def _publish_masters(self) -> None:
        for observation in self.calibration.values():
            options = options_for(self._request.options, observation.kind)
            publish(self._database, observation.observation_id, self._request.site_id, options)

    def _wait_for(
        self, connection: Connection, night: OpenObservation, processes: Sequence[LiveProcess]
    ) -> None:
        """Note processes that measure a frame, and when its file was whole."""
        whole_at = {}
        for ids in in_batches([process.image_id for process in processes]):
            query = select(Image.id, Image.fingerprint).where(Image.id.in_(ids))
            for row in connection.execute(query):
                # 0: another watcher took it.
                whole_at[row.id] = self._whole_at.get(str(row.fingerprint), 0.0)
        for process in processes:
            night.waiting[process.process_id] = whole_at.get(process.image_id, 0.0)

    def _follow(self, night: OpenObservation) -> None:
        """Count what has been measured, and how long after the file was whole."""
        with self._database.read() as connection:
            for ids in in_batches(list(night.waiting)):
                query = select(Process.id, Process.state, Process.finished_us).where(
                    Process.id.in_(ids), Process.state.in_(_ENDED)
                )
                for row in connection.execute(query):
                    whole_at = night.waiting.pop(row.id)
                    if row.state != State.SUCCEEDED.value:
                        night.n_failed += 1
                        continue
                    night.n_measured += 1
                    if whole_at:
                        night.latencies.append(row.finished_us / 1e6 - whole_at)

    def _count(self, observation_id: int) -> int:
        query = select(func.count(Image.id)).where(
            Image.observation_id == observation_id, Image.birth.is_(None)
        )
        with self._database.read() as connection:
            return connection.scalar(query) or 0


_ENDED = (State.SUCCEEDED.value, State.FAILED.value, State.CANCELLED.value, State.BLOCKED.value)


def _has_later_run(connection: Connection, night: OpenObservation) -> bool:
    query = (
        select(Run.id)
        .join(Reduction, Reduction.run_id == Run.id)
        .where(
            Reduction.observation_id == night.observation.observation_id,
            Run.recipe != LIVE.name,
            Run.id > max(night.live_run or 0, night.newest_before or 0),
        )
        .limit(1)
    )
    return connection.scalar(query) is not None
