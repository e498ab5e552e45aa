"""The one message that travels through a broker: a hint that a process may be claimed.

It is JSON, ``{"v":1,"process_id":"<digits>"}``, and nothing else: whatever else a consumer
has to know stands in the database, which alone is the truth.
"""

import json
from typing import Any

from tianyu.broker.errors import MessageError
from tianyu.schema.pid import from_text, to_text

VERSION = 1

LONGEST_BYTES = 200
"""A hint has at most 48 bytes; blanks are forgiven, and nothing larger is worth parsing."""

CONTENT_TYPE = "application/json"


def encode(process_id: int) -> bytes:
    """Return the message about a process.

    Examples
    --------
    >>> encode(1795225881011499657)
    b'{"v":1,"process_id":"1795225881011499657"}'
    """
    text = json.dumps({"v": VERSION, "process_id": to_text(process_id)}, separators=(",", ":"))
    return text.encode("ascii")


def decode(body: bytes) -> int:
    """Return the id of the process that a message is about.

    Raises
    ------
    MessageError
        If it is anything but what :func:`encode` writes: other keys, another version, an id
        that is not a string of digits.

    Examples
    --------
    >>> decode(b'{"v":1,"process_id":"1795225881011499657"}')
    1795225881011499657
    """
    if len(body) > LONGEST_BYTES:
        raise MessageError(
            f"a message of {len(body)} bytes is no hint; expected {LONGEST_BYTES} at most"
        )
    try:
        fields = json.loads(body.decode("utf-8"), object_pairs_hook=_without_repetition)
    except ValueError as error:
        raise MessageError(f"{body!r} is not the JSON of a hint: {error}") from error
    return _process_id(fields, body)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands there twice")
    return fields


def _process_id(fields: object, body: bytes) -> int:
    if not isinstance(fields, dict) or fields.keys() != {"v", "process_id"}:
        raise MessageError(f"{body!r} is no hint; expected the keys v and process_id only")
    version, text = fields["v"], fields["process_id"]
    if type(version) is not int or version != VERSION:
        raise MessageError(
            f"{body!r} has version {version!r}; this code reads version {VERSION} only: "
            "run publishers, managers and consumers of one release"
        )
    if not isinstance(text, str):
        raise MessageError(f"{body!r} has an id that is not a string; a double holds 53 bits only")
    try:
        return from_text(text)
    except ValueError as error:
        raise MessageError(f"{body!r} names no process: {error}") from error
