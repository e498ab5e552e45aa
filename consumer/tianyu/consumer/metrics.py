"""What Prometheus learns of a consumer."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tianyu.consumer.children import Died, Stop
from tianyu.consumer.consumer import Consumer
from tianyu.consumer.messages import Failed, Succeeded
from tianyu.consumer.observer import Observer
from tianyu.consumer.pool import Ended
from tianyu.schema.states import Outcome

BUCKETS_S = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000)
"""From steps that only touch rows to those that work on a night, half a decade apart."""


class ConsumerMetrics(Observer):
    """Counts ended attempts.

    Parameters
    ----------
    registry : CollectorRegistry
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "tianyu_attempts", "Ended attempts.", ["step", "outcome"], registry=registry
        )
        self._duration = Histogram(
            "tianyu_step_duration_seconds",
            "Wall time of attempts that succeeded.",
            ["step"],
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._cpu = Counter(
            "tianyu_step_cpu_seconds",
            "Processor time of all attempts as far as known.",
            ["step"],
            registry=registry,
        )
        self._deaths = Counter(
            "tianyu_child_deaths", "Children that ended while they worked.", registry=registry
        )

    def ended(self, ended: Ended, *, was_ours: bool) -> None:
        """Count one attempt."""
        step, report = ended.claim.command, ended.report
        outcome = outcome_of(ended) if was_ours else Outcome.LEASE_LOST
        self._attempts.labels(step, outcome.value).inc()
        if outcome is Outcome.SUCCEEDED:
            self._duration.labels(step).observe(ended.duration_s)
        if isinstance(report, Died):
            self._deaths.inc()
        spent_s = report.cpu_s if isinstance(report, Died) else report and report.usage.cpu_s
        self._cpu.labels(step).inc(max(spent_s or 0.0, 0.0))


def outcome_of(ended: Ended) -> Outcome:
    """Return how an attempt ended whose claim was ours to the end."""
    report, stopped = ended.report, ended.stopped
    if isinstance(report, Succeeded):
        return Outcome.SUCCEEDED
    if stopped is not None and stopped.kind is Stop.CANCELLED:
        return Outcome.CANCELLED
    if isinstance(report, Failed):
        return Outcome.FAILED if report.excuse is None else Outcome.RELEASED
    is_no_fault = stopped is not None and stopped.kind is Stop.NO_FAULT
    return Outcome.RELEASED if report is None or is_no_fault else Outcome.FAILED


class ConsumerCollector(Collector):
    """Looks at a consumer when asked."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def collect(self) -> Iterator[Metric]:
        """Yield what stands now."""
        consumer = self._consumer
        children = GaugeMetricFamily("tianyu_children", "Child processes.", labels=["state"])
        for state, number in zip(("busy", "idle"), consumer.children(), strict=True):
            children.add_metric([state], number)
        yield children
        yield CounterMetricFamily(
            "tianyu_database_disconnects",
            "Connections to the database that were lost.",
            consumer.database.disconnects,
        )
        yield CounterMetricFamily(
            "tianyu_broker_reconnects",
            "Connections or channels to the broker that were lost and opened again.",
            consumer.broker.n_reconnects,
        )
