"""References as a run has stored them: of ensembles, and of plain groups."""

import numpy as np
import pytest
from sqlalchemy import insert

from tianyu.pipelines.errors import MissingInputError
from tianyu.pipelines.known_references import load_references
from tianyu.schema.tables import (
    FluxLevel,
    ReferenceGroup,
    ReferenceMember,
    Sky,
    Source,
    SourcePhotometry,
)

RUN = 7
LEVELS = np.array([[100.0, 110.0], [200.0, 220.0], [400.0, np.nan], [50.0, 55.0]])


@pytest.fixture
def store(installation):
    """Return a function that stores groups of one run, and gives the ids of four sources."""

    def fill(groups, group_of):
        with installation.database.write() as connection:
            sky = connection.execute(insert(Sky).values(name="s")).inserted_primary_key[0]
            sources = [
                connection.execute(
                    insert(Source).values(sky_id=sky, birth=1, is_forced=False)
                ).inserted_primary_key[0]
                for _ in LEVELS
            ]
            ids = []
            for number, (order, members) in enumerate(groups):
                values = {
                    "run_id": RUN, "number": number, "method": "x", "position_bin": 0,
                    "flux_bin": 0, "n_members": 4, "n_references": len(members),
                    "surface_order": order,
                }  # fmt: skip
                made = connection.execute(insert(ReferenceGroup).values(**values))
                ids.append(made.inserted_primary_key[0])
                for source, weight in members.items():
                    row = {"source_id": sources[source], "weight": weight, "is_borrowed": False}
                    connection.execute(insert(ReferenceMember).values(group_id=ids[-1], **row))
            for i, source in enumerate(sources):
                row = {"default_aperture": 0, "is_reference": False, "n_epochs": 3}
                group_id = ids[group_of[i]]
                connection.execute(
                    insert(SourcePhotometry).values(
                        run_id=RUN, source_id=source, group_id=group_id, **row
                    )
                )
                for aperture, level in enumerate(LEVELS[i]):
                    if np.isfinite(level):
                        key = {"run_id": RUN, "source_id": source, "aperture": aperture}
                        values = {"level": level, "scale": 1.0}
                        connection.execute(insert(FluxLevel).values(**key, **values))
        return np.array(sources)

    return fill


@pytest.fixture
def load(installation):
    """Return a function that reads the references of some sources in two apertures."""

    def read(sources, run=RUN):
        with installation.database.read() as connection:
            return load_references(connection, run, sources, 2)

    return read


def test_an_ensemble_has_references_of_its_own_in_every_aperture(store, load):
    sources = store([(0, {0: 1.0, 1: 2.0}), (1, {2: 3.0})], group_of=[0, 0, 1, 0])
    first, second = load(sources)
    assert (first.aperture, second.aperture) == (0, 1)
    assert first.sources.all()
    assert second.sources.all()
    assert (first.references.order, second.references.order) == (0, 1)
    assert first.references.weight.tolist() == [1.0, 2.0, 0.0, 0.0]
    assert second.references.level == pytest.approx(LEVELS[:, 1], nan_ok=True)
    assert first.references.is_by_noise


def test_plain_groups_serve_their_own_in_every_aperture_weighted_by_light(store, load):
    sources = store([(None, {0: 1.0, 1: 1.0}), (None, {2: 1.0, 3: 1.0})], group_of=[0, 0, 1, 1])
    found = load(sources)
    assert [(one.aperture, one.sources.tolist()) for one in found] == [
        (0, [True, True, False, False]), (1, [True, True, False, False]),
        (0, [False, False, True, True]), (1, [False, False, True, True]),
    ]  # fmt: skip
    # A sum of fluxes over a sum of levels: a bright star counts for its light.
    assert found[0].references.weight.tolist() == [100.0, 200.0, 0.0, 0.0]
    # Without a level in this aperture a star serves nobody.
    assert found[3].references.weight.tolist() == [0.0, 0.0, 0.0, 55.0]
    assert not found[0].references.is_by_noise


def test_sources_that_the_run_does_not_know_have_no_level(store, load):
    sources = store([(0, {0: 1.0}), (0, {1: 1.0})], group_of=[0, 0, 0, 0])
    found = load(np.append(sources, 999))
    assert np.isnan(found[0].references.level[-1])
    assert found[0].references.level[0] == 100.0


def test_a_run_without_references_is_told(load):
    with pytest.raises(MissingInputError, match="run 8 has chosen no reference stars"):
        load(np.array([1, 2]), run=8)
