"""Consumers of group gpu: they need one from the start, and their children know that they have."""

import pytest
from sqlalchemy import func, select
from tests.integration.consumer.yard import SITE, Yard

from tianyu.broker.embedded import EmbeddedBroker
from tianyu.consumer import consumer as consuming
from tianyu.consumer.consumer import Consumer, ConsumerConfig
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.tables import Worker


class Told(Exception):  # noqa: N818 - no error: it ends the consumer when enough is known
    """What the children of a consumer would have been told."""


def consumer_of(yard: Yard, *groups: str) -> Consumer:
    config = ConsumerConfig(SITE, groups=groups)
    return Consumer(yard.database, EmbeddedBroker(yard.database), config)


def test_without_a_gpu_it_ends_before_it_is_known_as_a_worker(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> None:
        raise ConfigurationError("there is no GPU")

    monkeypatch.setattr(consuming, "gpu_namespace", none)
    with pytest.raises(ConfigurationError, match="there is no GPU"):
        consumer_of(yard, "cpu", "gpu").run()
    with yard.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(Worker)) == 0


@pytest.mark.parametrize(("group", "has_gpu"), [("gpu", True), ("cpu", False)])
def test_its_children_are_told_whether_there_is_one(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, group: str, has_gpu: bool
) -> None:
    def pool(place: object, _processes: int) -> None:
        raise Told(place)

    monkeypatch.setattr(consuming, "gpu_namespace", lambda: None)
    monkeypatch.setattr(consuming, "ChildPool", pool)
    with pytest.raises(Told) as told:
        consumer_of(yard, group).run()
    assert told.value.args[0].has_gpu is has_gpu
