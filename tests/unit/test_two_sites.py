"""A night shared by an observatory and a data centre: the same digits, and only stacks travel."""

import shutil
from dataclasses import replace

import pytest
from sqlalchemy import func, select
from tests.integration.sites.service import TOKEN, serving

from tianyu.cli.fileservice.copies import SiteFiles
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import MissingInputError
from tianyu.pipelines.step import find_step, validate
from tianyu.publisher.bringing import bring_frames
from tianyu.publisher.publishing import PublishOptions, publish, publish_again
from tianyu.publisher.recipes import LIGHT_CURVES
from tianyu.publisher.registering import RegisterRequest, register
from tianyu.publisher.run_sites import sites_of
from tianyu.publisher.verdicts import Saying, Word, record
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.directory import ensure_site
from tianyu.schema.errors import GraphError, NotFoundError
from tianyu.schema.states import State
from tianyu.schema.tables import Image, ImageCopy, Process, Queue, Site
from tianyu.schema.transitions.claim import claim_next
from tianyu.schema.transitions.finish import Usage, succeed

CURVES = "SELECT * FROM light_curve ORDER BY source_id, image_id, radius_pix"


class Survey:
    """Two sites in one database, each with its own root; processes are run in this process."""

    def __init__(self, folder, migrated_file):
        shutil.copyfile(migrated_file, folder / "tianyu.sqlite")
        self.database = Database(sqlite_url(folder / "tianyu.sqlite"))
        self.roots = {}
        for name in ("observatory", "centre"):
            (folder / name).mkdir()
            site_id = self.database.retry(
                lambda c, name=name: ensure_site(c, name, folder / name, 60.0)
            )
            self.roots[site_id] = folder / name
        self.observatory, self.centre = self.roots

    def address(self, url):
        with self.database.write() as connection:
            here = Site.id == self.observatory
            connection.execute(Site.__table__.update().where(here).values(address=url))

    def register(self, folder):
        options = PublishOptions(chunk_frames=5, fan_out=2, science_site_id=self.centre)
        request = RegisterRequest(
            [folder], self.observatory, self.roots[self.observatory], options=options
        )
        return register(self.database, request).observations[-1]

    def work_off(self):
        """Let a worker of each site do what its queues hold, until nothing is left."""
        while sum(self._work_at(site_id) for site_id in self.roots):
            pass

    def _work_at(self, site_id):
        with self.database.read() as connection:
            queues = list(connection.scalars(select(Queue.id).where(Queue.site_id == site_id)))
        n_done = 0
        while claim := self.database.retry(lambda c: claim_next(c, queues, "worker", 600.0)):
            context = StepContext(
                self.database, claim.process_id, claim.run_id, claim.command, claim.attempt,
                site_id, self.roots[site_id],
            )  # fmt: skip
            products = find_step(claim.command).run(
                validate(claim.command, claim.parameters), context
            )

            def commit(connection, products=products, claim=claim):
                products.write(connection)
                succeed(connection, claim.process_id, claim.token, Usage())

            self.database.retry(commit)
            n_done += 1
        return n_done

    def scalars(self, query):
        with self.database.read() as connection:
            return list(connection.scalars(query))

    def curves(self):
        with self.database.read() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(CURVES)]


@pytest.fixture
def survey(tmp_path, migrated_file, monkeypatch):
    monkeypatch.setenv("TIANYU_FILE_TOKEN", TOKEN)
    survey = Survey(tmp_path, migrated_file)
    yield survey
    survey.database.dispose()


@pytest.fixture
def served(survey):
    files = SiteFiles(survey.database, survey.observatory, survey.roots[survey.observatory])
    with serving(files) as address:
        survey.address(address)
        yield survey


def test_a_shared_night_gives_the_light_curves_of_one_site(served, night_folder, reduced_night):
    observation = served.register(night_folder)
    served.work_off()
    assert served.scalars(select(Process.state).distinct()) == [State.SUCCEEDED.value]
    with reduced_night.database.read() as connection:
        expected = [tuple(row) for row in connection.exec_driver_sql(CURVES)]
    assert len(expected) > 1000
    assert served.curves() == expected
    received = (
        select(Image.kind)
        .join(ImageCopy, ImageCopy.image_id == Image.id)
        .where(ImageCopy.site_id == served.centre, Image.birth.is_not(None))
        .where(ImageCopy.path.like("received/%"))
    )
    assert served.scalars(received) == ["stack", "stack"]
    raw_away = select(func.count()).where(
        ImageCopy.site_id == served.centre, ImageCopy.image_id == Image.id, Image.birth.is_(None)
    )
    assert served.scalars(raw_away) == [0]
    checksums = select(ImageCopy.checksum).where(ImageCopy.path.like("received/%"))
    made = select(ImageCopy.checksum).join(Image, Image.id == ImageCopy.image_id)
    at_home = served.scalars(
        made.where(Image.kind == "stack", ImageCopy.site_id == served.observatory)
    )
    assert sorted(served.scalars(checksums)) == sorted(at_home)
    # A verdict by hand makes a run at the same two sites.
    run_id = observation.run.run_id
    said = Saying(Word.REJECT, ("light_r_0003",))
    served.database.retry(lambda c: record(c, observation.observation_id, [said], "tester"))
    again = publish_again(served.database, run_id)
    assert again.n_reused > 0
    with served.database.read() as connection:
        for run in (run_id, again.run_id):
            sites = sites_of(connection, run, LIGHT_CURVES)
            assert (sites.frames, sites.science) == (served.observatory, served.centre)
    served.work_off()
    assert served.scalars(select(Process.state).distinct()) == [State.SUCCEEDED.value]
    assert served.curves() != expected


def test_a_site_whose_files_are_not_served_cannot_share_a_night(survey, night_folder):
    with pytest.raises(GraphError, match=r"needs files of site .observatory., .* serve-files"):
        survey.register(night_folder)


def test_the_same_reduction_at_another_site_is_the_same_run(survey, night_folder):
    survey.address("http://127.0.0.1:1")
    observation = survey.register(night_folder)
    options = PublishOptions(chunk_frames=5, fan_out=2)
    again = publish(survey.database, observation.observation_id, survey.observatory, options)
    assert (again.run_id, again.is_new) == (observation.run.run_id, False)


def test_an_image_that_no_site_serves_is_told(survey, night_folder):
    survey.address("http://127.0.0.1:1")
    survey.register(night_folder)
    (image_id,) = survey.scalars(select(func.min(Image.id)))
    with survey.database.write() as connection:
        connection.execute(Site.__table__.update().values(address=None))
    context = StepContext(
        survey.database, 1, 1, "transfer", 1, survey.centre, survey.roots[survey.centre]
    )
    with pytest.raises(MissingInputError, match=r"no site with a file service holds image \d+"):
        find_step("transfer").run(validate("transfer", {"images": [image_id]}), context)


def test_raw_frames_are_brought_and_reduced_where_they_have_come(served, night_folder):
    request = RegisterRequest([night_folder], served.observatory, served.roots[served.observatory])
    observations = register(served.database, replace(request, publish=False)).observations
    (light,) = (o for o in observations if o.kind == "light")
    with pytest.raises(GraphError, match="or bring them: tianyu transfer"):
        publish(served.database, light.observation_id, served.centre)
    bringing = bring_frames(served.database, light.observation_id, served.centre)
    assert (bringing.n_frames, bringing.n_processes, bringing.is_new) == (12, 1, True)
    again = bring_frames(served.database, light.observation_id, served.centre)
    assert (again.run_id, again.is_new) == (bringing.run_id, False)
    served.work_off()
    assert bring_frames(served.database, light.observation_id, served.centre).run_id is None
    originals = {file.read_bytes() for file in night_folder.glob("light*")}
    paths = served.scalars(select(ImageCopy.path).where(ImageCopy.site_id == served.centre))
    root = served.roots[served.centre]
    assert {(root / path).read_bytes() for path in paths} == originals
    run = publish(served.database, light.observation_id, served.centre)
    assert run.n_processes > 10


def test_frames_that_no_site_serves_cannot_be_brought(survey, night_folder):
    request = RegisterRequest([night_folder], survey.observatory, survey.roots[survey.observatory])
    light = register(survey.database, replace(request, publish=False)).observations[-1]
    with pytest.raises(GraphError, match=r"12 of 12 frames of .* lie at no site whose files are"):
        bring_frames(survey.database, light.observation_id, survey.centre)
    with pytest.raises(NotFoundError, match="there is no site 99"):
        bring_frames(survey.database, light.observation_id, 99)
