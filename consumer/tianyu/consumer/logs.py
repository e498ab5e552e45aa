"""Log records that say the same of themselves everywhere, so that they can be searched."""

import logging
from collections.abc import Mapping, MutableMapping
from typing import Any

from tianyu.schema.transitions.claim import Claim

FIELDS = ("action", "run_id", "process_id", "attempt", "worker_id", "site", "group")


class EngineLog(logging.LoggerAdapter[logging.Logger]):
    """A logger whose records all carry :data:`FIELDS`; None where one does not apply.

    Parameters
    ----------
    logger : Logger
    known : mapping
        Fields that are the same in all records.
    """

    def __init__(self, logger: logging.Logger, known: Mapping[str, object]) -> None:
        super().__init__(logger, {**dict.fromkeys(FIELDS), **known})

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the known fields to those of the call."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


def about(action: str, claim: Claim) -> dict[str, object]:
    """Return the fields of a record about one attempt."""
    return {
        "action": action,
        "run_id": claim.run_id,
        "process_id": claim.process_id,
        "attempt": claim.attempt,
    }
