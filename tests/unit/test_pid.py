"""Process ids: time first, then chance; ascending, never twice, safe in JSON."""

import json
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianyu.schema.pid import IDS_PER_MS, PidFactory, from_text, to_text


def test_an_id_begins_with_the_milliseconds_since_1970() -> None:
    before = time.time_ns() // 1_000_000
    (pid,) = PidFactory().draw(1)
    after = time.time_ns() // 1_000_000
    assert before <= pid // IDS_PER_MS <= after + 1


def test_ids_of_one_millisecond_differ_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_123_999_999)
    ids = PidFactory().draw(1000)
    assert {pid // IDS_PER_MS for pid in ids} == {1_700_000_000_123}
    assert len({pid % IDS_PER_MS for pid in ids}) == 1000
    other = PidFactory().draw(1000)
    # Two publishers in one millisecond: 1000 · 1000 / 10^6 = 1 collision is expected.
    assert len(set(ids) & set(other)) < 12


@given(st.lists(st.integers(0, 50), max_size=20))
def test_ids_ascend_over_all_draws(sizes: list[int]) -> None:
    factory = PidFactory()
    ids = [pid for n in sizes for pid in factory.draw(n)]
    assert ids == sorted(set(ids))
    assert len(ids) == sum(sizes)


def test_a_clock_that_is_set_back_does_not_repeat_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    factory = PidFactory()
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_001_000_000_000)
    (late,) = factory.draw(1)
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    (early,) = factory.draw(1)
    assert early > late


def test_more_than_fit_into_a_millisecond_spill_into_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tianyu.schema.pid.IDS_PER_MS", 10)
    monkeypatch.setattr(time, "time_ns", lambda: 5_000_000)
    ids = PidFactory().draw(25)
    assert ids[:20] == list(range(50, 70))
    assert [pid // 10 for pid in ids[20:]] == [7] * 5


def test_threads_share_a_factory() -> None:
    factory = PidFactory()
    drawn: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: drawn.extend(factory.draw(50) for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [pid for batch in drawn for pid in batch]
    assert len(ids) == len(set(ids)) == 4 * 20 * 50


def test_fewer_than_none_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot draw -1 process ids; ask for zero or more"):
        PidFactory().draw(-1)


def test_ids_fit_a_signed_64_bit_column_until_the_year_2200() -> None:
    assert 7_258_118_400_000 * IDS_PER_MS + IDS_PER_MS < 2**63  # 2200-01-01


@given(st.integers(1, 2**63 - 1))
def test_reading_back_what_was_written(pid: int) -> None:
    assert from_text(json.loads(json.dumps(to_text(pid)))) == pid


def test_a_double_would_not_do() -> None:
    pid = 1_700_000_000_123_456_789
    assert int(float(pid)) != pid


@pytest.mark.parametrize(
    "text", ["", "0", "-5", "1.0", "1e18", " 7", "7\n", "٣", "²", "seven", str(2**63), "9" * 30]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a process id; expected up to 19 digits"):
        from_text(text)
