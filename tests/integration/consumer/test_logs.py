"""What a search through the log finds."""

import logging

import pytest
from tests.integration.consumer.yard import Yard, work

from tianyu.consumer.logs import FIELDS, EngineLog
from tianyu.manager import logs as manager_logs


def test_every_record_says_what_it_is_about(yard: Yard, caplog: pytest.LogCaptureFixture) -> None:
    pids = yard.publish(good=work("noop"), next=work("noop", "good"), bad=work("fail_permanent"))
    with caplog.at_level(logging.INFO, logger="tianyu.consumer"):
        yard.work_off()
    records = [r for r in caplog.records if r.name.startswith("tianyu.consumer")]
    (worker,) = yard.workers()
    assert {(r.site, r.group, r.worker_id) for r in records} == {("hill", "cpu", worker.id)}
    told = [(r.action, r.process_id, r.attempt) for r in records]
    for name, end in (("good", "succeed"), ("next", "succeed"), ("bad", "end")):
        assert told.index(("start", pids[name], 1)) < told.index((end, pids[name], 1))
    assert {r.run_id for r in records} == {yard.row(pids["good"]).run_id}
    texts = [r.getMessage() for r in records]
    assert texts.count("started noop") == texts.count("finished noop") == 2
    assert (
        "fail_permanent did not succeed: UnusableDataError: all 12 frames are saturated; "
        "expose shorter; now failed" in texts
    )


def test_a_field_that_does_not_apply_is_there_and_empty(caplog: pytest.LogCaptureFixture) -> None:
    log = EngineLog(logging.getLogger("tianyu.consumer.test"), {"site": "hill"})
    log.warning("hello", extra={"action": "greet"})
    (record,) = caplog.records
    assert [getattr(record, name) for name in FIELDS] == [
        "greet", None, None, None, None, "hill", None,
    ]  # fmt: skip


def test_consumers_and_managers_use_the_same_fields() -> None:
    assert manager_logs.FIELDS == FIELDS
    with pytest.raises(ValueError, match="no field 'colour'"):
        manager_logs.fields("reap", colour="red")
