"""Recognising the sources of a sky on later nights."""

import numpy as np
import pytest
from sqlalchemy import insert, select, update

from tianyu.pipelines.known_sources import NEWEST_TEMPLATES, adopt_known_sources
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.science.wcs import LinearWcs
from tianyu.publisher.observations import ObservationSpec, ensure_observation
from tianyu.publisher.survey import InstrumentFacts, ensure_instrument, ensure_sky
from tianyu.schema.tables import Image, Reduction, Sky, Source, SourcePosition

WCS = LinearWcs(150.0, 25.0, 250.0, 250.0, -0.6 / 3600, 0.0, 0.0, 0.6 / 3600)
SKY_SHIFT = AffineTransform(np.cos(0.01), -np.sin(0.01), np.sin(0.01), np.cos(0.01), 31.4, -12.3)


@pytest.fixture
def stars():
    """Forty stars of 500×500 pixels, no two within 5: x, y, flux."""
    rng = np.random.default_rng(7)
    grid = np.stack(np.meshgrid(np.arange(8), np.arange(5)), axis=-1).reshape(-1, 2)
    xy = grid * [60.0, 95.0] + 10.0 + rng.uniform(0.0, 55.0, (40, 2))
    return xy[:, 0], xy[:, 1], rng.lognormal(8.0, 1.0, 40)


class World:
    """A sky whose nights are entered one by one, as the detection does it."""

    def __init__(self, installation):
        self.database = installation.database
        self.nights = 0
        with self.database.write() as connection:
            instrument = ensure_instrument(
                connection, "Cam", installation.site_id, InstrumentFacts()
            )
            self.sky_id = ensure_sky(connection, "field", ra_deg=None, dec_deg=None)
            self.observation_id = ensure_observation(
                connection, ObservationSpec("night", "light", instrument, sky_id=self.sky_id)
            )

    def adopt(self, x, y, flux, wcs=None):
        """Return the ids that the positions of a new template get from earlier ones."""
        with self.database.write() as connection:
            return adopt_known_sources(connection, self.sky_id, x, y, flux, wcs)

    def night(self, x, y, flux, wcs=None):
        """Adopt and store a template; return the id of every position."""
        ids = self.adopt(x, y, flux, wcs)
        self.nights += 1
        with self.database.write() as connection:
            template = _insert(connection, Image, kind="template", name="t", width=1, height=1,
                               binning=1, header={})  # fmt: skip
            ids = [
                i or _insert(connection, Source, sky_id=self.sky_id, birth=1, is_forced=False)
                for i in ids
            ]
            ra, dec = wcs.to_sky(x, y) if wcs else (np.full(len(x), np.nan),) * 2
            for i, source_id in enumerate(ids):
                _insert(
                    connection, SourcePosition, template_image_id=template, source_id=source_id,
                    x=x[i], y=y[i], flux=_null(flux[i]), ra_deg=_null(ra[i]), dec_deg=_null(dec[i]),
                )  # fmt: skip
            _insert(
                connection, Reduction, run_id=self.nights, observation_id=self.observation_id,
                flux_unit="adu", template_image_id=template, notes={},
            )  # fmt: skip
            connection.execute(
                update(Sky).where(Sky.template_image_id.is_(None)).values(
                    template_image_id=template
                )
            )  # fmt: skip
        return ids


def _insert(connection, table, **values):
    return connection.execute(insert(table).values(**values)).inserted_primary_key[0]


def _null(value):
    return None if np.isnan(value) else float(value)


@pytest.fixture
def world(installation):
    return World(installation)


def test_on_a_new_sky_everything_is_new(world, stars):
    assert world.adopt(*stars) == [None] * 40


@pytest.mark.parametrize("wcs", [None, WCS])
def test_the_same_stars_keep_their_ids_in_any_order(world, stars, wcs):
    ids = world.night(*stars, wcs)
    order = np.random.default_rng(1).permutation(40)
    adopted = world.adopt(*(column[order] for column in stars), wcs)
    assert adopted == [ids[i] for i in order]


def test_without_coordinates_the_templates_are_aligned_by_their_stars(world, stars):
    """Shifted and turned, and fainter in all."""
    ids = world.night(*stars)
    x, y = SKY_SHIFT.apply(*stars[:2])
    assert world.adopt(x, y, 0.3 * stars[2]) == ids


def test_with_coordinates_another_telescope_finds_the_same_sources(world, stars):
    """Three times the pixel scale and another pointing: pixels alone would not do."""
    ids = world.night(*stars, WCS)
    other = LinearWcs(150.01, 25.01, 90.0, 80.0, 1.8 / 3600, 0.0, 0.0, 1.8 / 3600)
    x, y = other.to_pixel(*WCS.to_sky(*stars[:2]))
    assert world.adopt(x, y, stars[2], other) == ids


def test_a_new_star_is_new_and_takes_no_id_from_its_neighbours(world, stars):
    ids, new = world.night(*stars), (5.0, 5.0, 1e5)
    x, y, flux = (np.append(column, value) for column, value in zip(stars, new, strict=True))
    assert world.adopt(x, y, flux) == [*ids, None]


def test_a_star_first_seen_on_the_second_night_keeps_its_id_on_the_third(world, stars):
    first = world.night(*(column[:-1] for column in stars))
    second = world.night(*stars)
    assert second[:-1] == first
    assert second[-1] not in first
    assert world.night(*stars) == second


def test_a_star_missed_for_a_night_is_still_known(world, stars):
    ids = world.night(*stars)
    world.night(*(column[:-1] for column in stars))
    assert world.adopt(*stars) == ids


def test_the_newest_templates_are_looked_at_and_not_all_of_them(world, stars):
    """What was seen once, long ago, and not on the sky's own template is new again."""
    world.night(*(column[:-1] for column in stars))
    world.night(*stars)
    for _ in range(NEWEST_TEMPLATES):
        ids = world.night(*(column[:-1] for column in stars))
    assert world.adopt(*stars) == [*ids, None]


def test_a_forced_position_is_recognised_by_its_place(world, stars):
    """It has no flux to align by, and may lie far outside the frame."""
    x, y = np.append(stars[0], 5000.0), np.append(stars[1], -300.0)
    flux = np.append(stars[2], np.nan)
    ids = world.night(x, y, flux)
    moved = SKY_SHIFT.apply(x[:-1], y[:-1])
    assert world.adopt(*moved, flux[:-1]) == ids[:-1]
    assert world.adopt(x, y, flux) == ids


def test_another_field_of_the_same_name_is_not_recognised(world, stars):
    world.night(*stars)
    rng = np.random.default_rng(99)
    other = rng.uniform(0, 500, 40), rng.uniform(0, 500, 40), rng.lognormal(8, 1, 40)
    assert world.adopt(*other) == [None] * 40


def test_too_few_stars_to_align_are_new(world, stars):
    world.night(*(column[:2] for column in stars))
    assert world.adopt(*(column[:2] for column in stars)) == [None, None]


def test_no_id_is_given_twice(world, stars):
    """Two nights that missed different halves of a pair merged into one star."""
    world.night(*stars)
    x, y, flux = (np.append(column, column[:1]) for column in stars)
    x[-1] += 0.4
    world.night(x, y, flux)
    ids = world.night(x, y, flux)
    assert len(set(ids)) == len(ids) == 41
    with world.database.read() as connection:
        assert len(connection.execute(select(Source.id)).all()) == 41
