"""The message about a process: what is written can be read, and nothing else can."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tianyu.broker.errors import MessageError
from tianyu.broker.messages import LONGEST_BYTES, decode, encode

LARGEST = 2**63 - 1

process_ids = st.integers(min_value=1, max_value=LARGEST)


def test_a_message_is_this_and_nothing_else() -> None:
    assert encode(1732150000123042817) == b'{"v":1,"process_id":"1732150000123042817"}'


@given(process_ids)
@example(1)
@example(LARGEST)
def test_decoding_undoes_encoding(process_id: int) -> None:
    assert decode(encode(process_id)) == process_id


def test_the_longest_message_is_far_below_the_limit() -> None:
    assert len(encode(LARGEST)) == 42 + 0
    assert len(encode(LARGEST)) < LONGEST_BYTES / 4


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "not the JSON"),
        (b"\xff\xfe", "not the JSON"),
        (b"null", "keys v and process_id"),
        (b"[]", "keys v and process_id"),
        (b'"12"', "keys v and process_id"),
        (b'{"process_id":"12"}', "keys v and process_id"),
        (b'{"v":1,"process_id":"12","x":0}', "keys v and process_id"),
        (b'{"v":1,"process_id":"12","process_id":"13"}', "twice"),
        (b'{"v":2,"process_id":"12"}', "version 2"),
        (b'{"v":true,"process_id":"12"}', "version True"),
        (b'{"v":1.0,"process_id":"12"}', "version 1.0"),
        # A reader in JavaScript would have rounded it.
        (b'{"v":1,"process_id":1732150000123042817}', "not a string"),
        (b'{"v":1,"process_id":""}', "names no process"),
        (b'{"v":1,"process_id":"-5"}', "names no process"),
        (b'{"v":1,"process_id":"0"}', "names no process"),
        (b'{"v":1,"process_id":"9223372036854775808"}', "names no process"),
        ('{"v":1,"process_id":"١٢"}'.encode(), "names no process"),
        (b"[" * 10_000, "10000 bytes"),
    ],
)
def test_anything_else_is_refused_with_the_reason(body: bytes, complaint: str) -> None:
    with pytest.raises(MessageError, match=complaint):
        decode(body)


@given(st.binary(max_size=2 * LONGEST_BYTES))
def test_no_bytes_raise_anything_but_the_one_error(body: bytes) -> None:
    _decode_or_refuse(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(st.fixed_dictionaries({"v": st.just(1) | json_values, "process_id": json_values}))
def test_nearly_right_messages_raise_nothing_but_the_one_error(fields: object) -> None:
    _decode_or_refuse(json.dumps(fields).encode())


@given(process_ids, st.data())
def test_a_damaged_message_never_becomes_a_longer_process_id(
    process_id: int, data: st.DataObject
) -> None:
    body = encode(process_id)
    place = data.draw(st.integers(0, len(body) - 1))
    found = _decode_or_refuse(body[:place] + body[place + 1 :])
    # Without a check sum a lost digit cannot be seen; the database then knows no such process.
    assert found is None or len(str(found)) < len(str(process_id))


def _decode_or_refuse(body: bytes) -> int | None:
    try:
        process_id = decode(body)
    except MessageError:
        return None
    assert 0 < process_id <= LARGEST
    return process_id
