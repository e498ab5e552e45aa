"""Metrics and health of a consumer and a manager: what they say, and that it is true."""

import json
import time
import urllib.error
import urllib.request
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.consumer.memory_broker import MemoryBroker
from tests.integration.consumer.yard import SITE, Yard, beside, until, work

from tianyu.cli.monitoring import answering
from tianyu.consumer.consumer import Consumer, ConsumerConfig
from tianyu.consumer.health import ConsumerHealth
from tianyu.consumer.metrics import ConsumerCollector, ConsumerMetrics
from tianyu.manager.health import ManagerHealth
from tianyu.manager.manager import Manager, ManagerConfig
from tianyu.manager.metrics import ManagerCollector
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.states import State
from tianyu.schema.transitions import finish

LOOPBACK = "127.0.0.1"


def get(port: int | None, path: str) -> tuple[int, Any]:
    """Return status and content; JSON decoded."""
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}{path}", timeout=5) as answer:
            text = answer.read().decode()
            return answer.status, text if path == "/metrics" else json.loads(text)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def samples(port: int | None) -> dict[tuple[str, ...], float]:
    """Return every sample by name and values of its labels, in the order of their names."""
    _, text = get(port, "/metrics")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def observed(yard: Yard, broker: Any, **options: Any) -> tuple[Consumer, CollectorRegistry]:
    registry = CollectorRegistry()
    config = ConsumerConfig(SITE, **{"poll_s": 0.05, **options})
    consumer = Consumer(yard.database, broker, config, ConsumerMetrics(registry))
    registry.register(ConsumerCollector(consumer))
    return consumer, registry


def test_a_consumer_counts_what_became_of_its_attempts(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish, "backoff_s", lambda _: 600.0)
    pids = yard.publish(
        a=work("noop"), b=work("noop", "a"), slow=work("sleep", seconds=0.4),
        bad=work("fail_permanent"), dead=work("crash"),
    )  # fmt: skip
    broker = yard.new_consumer().broker
    consumer, registry = observed(yard, broker)
    with (
        answering(LOOPBACK, 0, ConsumerHealth(consumer), registry) as port,
        beside(consumer.run, consumer.drain),
    ):
        until(lambda: all(yard.outcomes(pid) for pid in pids.values()))
        until(lambda: samples(port).get(("tianyu_child_deaths_total",)) == 1.0)
        told = samples(port)
    assert told["tianyu_attempts_total", "succeeded", "noop"] == 2
    assert told["tianyu_attempts_total", "failed", "fail_permanent"] == 1
    assert told["tianyu_attempts_total", "failed", "crash"] == 1
    assert told["tianyu_step_duration_seconds_count", "sleep"] == 1
    assert 0.3 <= told["tianyu_step_duration_seconds_sum", "sleep"] < 5.0
    assert told["tianyu_children", "busy"] == 0
    assert told["tianyu_children", "idle"] == 1


def test_a_consumer_without_its_broker_is_unwell_and_well_again(yard: Yard) -> None:
    broker = MemoryBroker()
    consumer, registry = observed(yard, broker)
    health = ConsumerHealth(consumer)
    with answering(LOOPBACK, 0, health, registry) as port:
        assert get(port, "/healthz") == (
            503, {"status": "failing", "complaints": ["it is still starting"]},
        )  # fmt: skip
        with beside(consumer.run, consumer.drain):
            until(lambda: get(port, "/readyz")[0] == 200)
            assert get(port, "/healthz") == (200, {"status": "ok", "complaints": []})
            broker.is_away = True
            code, answer = get(port, "/readyz")
            assert (code, answer["complaints"]) == (503, ["the broker is away, for 0 s"])
            assert get(port, "/livez")[0] == 200, "a restart would not bring the broker back"
            broker.is_away = False
            assert get(port, "/readyz")[0] == 200


def test_a_consumer_that_drains_works_on_but_is_not_ready(yard: Yard) -> None:
    pids = yard.publish(slow=work("sleep", seconds=2.0))
    consumer, registry = observed(yard, yard.new_consumer().broker)
    with (
        answering(LOOPBACK, 0, ConsumerHealth(consumer), registry) as port,
        beside(consumer.run, lambda: None),
    ):
        until(lambda: yard.state(pids["slow"]) is State.RUNNING)
        consumer.drain()
        code, answer = get(port, "/readyz")
        assert (code, answer["complaints"]) == (
            503, ["it is asked to stop and begins nothing new"],
        )  # fmt: skip
        assert get(port, "/healthz")[0] == 200
    assert yard.outcomes(pids["slow"]) == ["succeeded"]


def test_a_loop_that_hangs_is_seen(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tianyu.consumer.health.STUCK_S", 0.3)
    consumer, registry = observed(yard, yard.new_consumer().broker)
    hang = [False]
    original = consumer._report_all

    def report_all() -> None:
        if hang[0]:
            time.sleep(1.0)
        original()

    monkeypatch.setattr(consumer, "_report_all", report_all)
    with (
        answering(LOOPBACK, 0, ConsumerHealth(consumer), registry) as port,
        beside(consumer.run, consumer.drain),
    ):
        until(lambda: get(port, "/livez")[0] == 200 and consumer.turned_at)
        hang[0] = True
        until(lambda: get(port, "/livez")[0] == 503)
        assert "its loop has not turned for" in get(port, "/livez")[1]["complaints"][0]
        hang[0] = False
        until(lambda: get(port, "/livez")[0] == 200)


def test_a_manager_says_how_the_queues_stand(yard: Yard) -> None:
    yard.publish(a=work("noop"), b=work("noop"), late=work("noop", "a"))
    manager = Manager(yard.database, MemoryBroker(), ManagerConfig(poll_s=0.05))
    registry = CollectorRegistry()
    registry.register(ManagerCollector(manager))
    manager.poll()
    with answering(LOOPBACK, 0, ManagerHealth(manager), registry) as port:
        told = samples(port)
    here = ("cpu", SITE)
    assert told["tianyu_processes", *here, "queued"] == 2
    assert told["tianyu_processes", *here, "ready"] == 0
    assert told["tianyu_queue_depth", *here] == 2
    assert told["tianyu_dead_letters", *here] == 0
    assert told["tianyu_dispatched_total",] == 2
    assert told["tianyu_leases_lost_total",] == 0
    assert told["tianyu_up", "database"] == told["tianyu_up", "broker"] == 1


def test_a_manager_whose_rounds_fail_is_unwell_and_says_why(yard: Yard) -> None:
    clock = [100.0]
    manager = Manager(yard.database, MemoryBroker(), clock=lambda: clock[0])
    health = ManagerHealth(manager)
    manager.poll()
    assert health.unready() == health.complaints(10.0) == []
    clock[0] += 30.0
    manager.complaint = '(2003, "Can\'t connect")'
    (complaint,) = health.complaints(10.0)
    assert complaint == (
        'the database has let no round end well for 30 s: (2003, "Can\'t connect")'
    )
    assert health.hang_ups() == []
    manager.poll()
    assert health.complaints(10.0) == []


def test_a_path_that_does_not_exist_names_those_that_do(yard: Yard) -> None:
    manager = Manager(yard.database, MemoryBroker())
    with answering(LOOPBACK, 0, ManagerHealth(manager), CollectorRegistry()) as port:
        code, answer = get(port, "/")
        assert (code, answer["complaints"]) == (
            404, ["there is /metrics, /livez, /healthz, /readyz"],
        )  # fmt: skip
        with pytest.raises(ConfigurationError, match="set metrics_port to a port that is free"):
            answering(LOOPBACK, port, ManagerHealth(manager), CollectorRegistry()).__enter__()
