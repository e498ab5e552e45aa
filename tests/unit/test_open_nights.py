"""Which observation a frame belongs to that comes while the night is open."""

import pytest

from tianyu.publisher.grouping import group_frames
from tianyu.publisher.opennights import OpenNights
from tianyu.publisher.registering import RegisterRequest, register


@pytest.fixture
def name_of(installation, scanned):
    """Return a function that asks for the observation of one frame that has just come."""

    def ask(nights, number, start, **cards):
        frame = scanned(f"{number}.fits", DATE_OBS=start, **cards)
        (group,) = group_frames([frame], one_target=True)
        with installation.database.read() as connection:
            return nights.name_of(connection, group)

    return ask


def test_a_night_that_passes_noon_of_greenwich_stays_one(name_of):
    """Without a longitude each frame alone would be parted at noon in Greenwich."""
    nights = OpenNights(target="M 31")
    first = name_of(nights, 1, "2025-03-17T11:50:00")
    assert "2025-03-16" in first
    assert name_of(nights, 2, "2025-03-17T12:10:00") == first
    assert name_of(nights, 3, "2025-03-17T17:00:00") == first
    # One that is late finds its place too.
    assert name_of(nights, 4, "2025-03-17T09:00:00") == first


def test_the_next_night_and_another_filter_are_observations_of_their_own(name_of):
    nights = OpenNights(target="M 31")
    names = [
        name_of(nights, 1, "2025-03-17T02:50:00"),
        name_of(nights, 2, "2025-03-17T02:51:00", FILTER="g"),
        name_of(nights, 3, "2025-03-18T02:50:00"),
    ]
    assert len(set(names)) == 3
    assert name_of(nights, 4, "2025-03-18T02:55:00") == names[2]


def test_a_name_that_was_given_is_that_of_the_first_filter(name_of):
    nights = OpenNights(observation="tonight", target="M 31")
    assert name_of(nights, 1, "2025-03-17T02:50:00") == "tonight"
    assert name_of(nights, 2, "2025-03-17T02:51:00") == "tonight"
    assert name_of(nights, 3, "2025-03-17T02:52:00", FILTER="g").startswith("M 31, g")


def test_frames_that_are_registered_say_where_the_night_goes_on(installation, write_fits, tmp_path):
    write_fits(tmp_path / "in" / "a.fits")
    request = RegisterRequest(
        [tmp_path / "in"], installation.site_id, installation.root, observation="before"
    )
    register(installation.database, request)
    write_fits(tmp_path / "in" / "b.fits", seed=1, DATE_OBS="2025-03-17T02:52:00")
    nights = OpenNights()

    def name_of(group):
        with installation.database.read() as connection:
            return nights.name_of(connection, group)

    again = RegisterRequest(
        [tmp_path / "in"], installation.site_id, installation.root, name_of=name_of, publish=False
    )
    (observation,) = register(installation.database, again).observations
    assert (observation.name, observation.n_new) == ("before", 1)
