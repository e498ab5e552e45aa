"""Answers for programs: dataclasses as JSON."""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from pathlib import PurePath
from typing import Any


def print_json(answer: Any) -> None:
    """Write an answer to standard output."""
    sys.stdout.write(json.dumps(to_plain(answer), indent=2, ensure_ascii=False) + "\n")


def to_plain(value: Any) -> Any:
    """Return what JSON can express.

    Dataclasses become objects, times ISO 8601 texts, and numbers that are not finite null.

    Examples
    --------
    >>> to_plain({"scatter": float("nan"), "names": ("a", "b")})
    {'scatter': None, 'names': ['a', 'b']}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(_scalar(k)): to_plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
