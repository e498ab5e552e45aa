"""Finding an observation by what a person calls it."""

from sqlalchemy import Connection, select

from tianyu.schema.errors import NotFoundError
from tianyu.schema.tables import Observation

SHOWN = 12
"""Names listed in an error; more do not help anybody."""


def find_observation(connection: Connection, text: str) -> int:
    """Return the id of an observation by its name, its number or a part of its name.

    Raises
    ------
    NotFoundError
        If none or several fit; the text lists them.
    """
    query = select(Observation.id, Observation.name).order_by(Observation.id)
    names = {row.id: row.name for row in connection.execute(query)}
    for observation_id, name in names.items():
        if text in {name, str(observation_id)}:
            return int(observation_id)
    fitting = [i for i, name in names.items() if text.casefold() in name.casefold()]
    if len(fitting) == 1:
        return int(fitting[0])
    listed = [f"{i} {names[i]!r}" for i in (fitting or names)]
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    kinds = "several observations fit" if fitting else "there is no observation"
    raise NotFoundError(
        f"{kinds} {text!r}; there are: {', '.join(listed[:SHOWN]) or 'none at all'}{more}"
    )
