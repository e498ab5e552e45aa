"""What a step had to assume or leave out, in words, kept with the run."""

from typing import Any

from sqlalchemy import Connection, select, update

from tianyu.schema.tables import Reduction


def add_note(connection: Connection, run_id: int, subject: str, note: Any) -> None:
    """Add a note to a run; one on the same subject is replaced.

    Parameters
    ----------
    connection : Connection
        In the transaction of the step's success.
    run_id : int
    subject : str
        What it is about, such as ``positions``.
    note : str or list of str
    """
    of_run = Reduction.run_id == run_id
    notes = connection.execute(select(Reduction.notes).where(of_run)).scalar_one()
    connection.execute(update(Reduction).where(of_run).values(notes={**notes, subject: note}))
