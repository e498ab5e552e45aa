"""Opening a database, and the two kinds of transaction everything runs in."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from tianyu.schema import dialects
from tianyu.schema.errors import ConfigurationError

T = TypeVar("T")

RETRY_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Pauses between tries of one transaction, each ±50 %: deadlocks resolve in milliseconds."""


class Database:
    """One database, as one process of the operating system uses it.

    Parameters
    ----------
    url : str
        SQLAlchemy URL, ``sqlite:///night.sqlite`` or ``mysql+pymysql://user:…@host/name``.

    Raises
    ------
    ConfigurationError
        If the URL cannot be read, names no file, or needs a driver that is not installed.

    Attributes
    ----------
    disconnects : int
        Connections that were lost since the start, for metrics.
    """

    def __init__(self, url: str) -> None:
        self.url = _parse(url)
        # In memory every connection, and every process, would have a database of its own.
        if self.is_embedded and self.url.database in {None, "", ":memory:"}:
            raise ConfigurationError(
                f"the database URL {str(self)!r} names no file; give sqlite:///FOLDER/tianyu.sqlite"
            )
        self.engine = _engine(self.url)
        dialects.prepare(self.engine)
        self.disconnects = 0
        event.listen(self.engine, "handle_error", self._count_disconnect)

    def _count_disconnect(self, context: ExceptionContext) -> None:
        self.disconnects += bool(context.is_disconnect)

    @property
    def is_embedded(self) -> bool:
        """Whether this is a file that the process opens itself."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def text_url(self) -> str:
        """The URL with its password, for handing to a child process; never for showing."""
        return self.url.render_as_string(hide_password=False)

    def __str__(self) -> str:
        """Return the URL without its password."""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads.

        On SQLite it sees one state throughout; on MySQL each statement sees what had been
        committed when it began.
        """
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that writes; it commits when the block ends without an error."""
        with self.engine.connect() as raw:
            connection = raw.execution_options(**{dialects.WRITE_OPTION: True})
            with connection.begin():
                yield connection

    def retry(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a writing transaction; run it again after a deadlock or a lost server.

        ``work`` must be safe to repeat as a whole: when the answer to a COMMIT is lost it may
        have happened, so statements carry fences and ids are drawn by the caller.

        Raises
        ------
        sqlalchemy.exc.DBAPIError
            If it failed for a reason that repeating does not mend, or failed every time.
        """
        for pause in RETRY_SECONDS:
            try:
                with self.write() as connection:
                    return work(connection)
            except DBAPIError as error:
                if not dialects.is_transient(error):
                    raise
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads retries
        with self.write() as connection:
            return work(connection)

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        # What stands before an @ may be a password.
        raise ConfigurationError(
            f"{url.rpartition('@')[2]!r} is not a database URL; write sqlite:///FILE or "
            "mysql+pymysql://USER@HOST/NAME"
        ) from error
    if parsed.get_backend_name() not in {"sqlite", "mysql", "mariadb"}:
        raise ConfigurationError(
            f"{parsed.get_backend_name()!r} is not supported; use sqlite or mysql+pymysql"
        )
    return dialects.plain_url(parsed)


def _engine(url: URL) -> Engine:
    try:
        return create_engine(url, **dialects.engine_options(url))
    except (ImportError, NoSuchModuleError) as error:
        raise ConfigurationError(
            f"the driver of {url.drivername!r} is not there ({error}); use sqlite, or "
            "mysql+pymysql with PyMySQL installed"
        ) from error


def sqlite_url(path: Path) -> str:
    """Return the URL of a SQLite file, whatever characters its path holds.

    Examples
    --------
    >>> sqlite_url(Path("50%.sqlite"))
    'sqlite:///50%25.sqlite'
    """
    return URL.create("sqlite", database=str(path)).render_as_string()
