"""Log records that say the same of themselves everywhere, so that they can be searched."""

FIELDS = ("action", "run_id", "process_id", "attempt", "worker_id", "site", "group")
"""The same names as in the records of consumers."""


def fields(action: str, **known: object) -> dict[str, object]:
    """Return the ``extra`` of a log record; None where a field does not apply.

    Examples
    --------
    >>> fields("reap", process_id=7)["process_id"], fields("reap")["site"]
    (7, None)
    """
    unknown = known.keys() - set(FIELDS)
    if unknown:
        raise ValueError(f"log records have no field {min(unknown)!r}; known: {FIELDS}")
    return {**dict.fromkeys(FIELDS), "action": action, **known}
