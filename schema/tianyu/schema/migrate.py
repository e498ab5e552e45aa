"""Creating and migrating the database, and refusing one that does not fit the code."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, exists, inspect, select

from tianyu.schema import dialects
from tianyu.schema.database import Database
from tianyu.schema.errors import SchemaVersionError
from tianyu.schema.tables import metadata

MIGRATIONS = Path(__file__).parent / "migrations"


def newest_revision() -> str:
    """Return the revision that this code was written for."""
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    if head is None:
        raise SchemaVersionError(f"no migrations are installed in {MIGRATIONS}")
    return head


def revision_of(connection: Connection) -> str | None:
    """Return the revision of a database; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(database: Database) -> None:
    """Create the tables, or bring those of an older version up to date; rows are kept.

    Raises
    ------
    SchemaVersionError
        If the database is newer than the code, or holds foreign tables.
    """
    with database.write() as connection, dialects.migrating(connection):
        revision = revision_of(connection)
        if revision == newest_revision():
            return
        if revision is None:
            _remove_half_made(connection)
        _refuse_unknown(connection, revision, database)
        command.upgrade(_config(connection), "head")


def check(database: Database) -> None:
    """Refuse a database whose tables do not fit the code.

    Raises
    ------
    SchemaVersionError
        With what to do about it.
    """
    with database.read() as connection:
        revision = revision_of(connection)
        if revision == newest_revision():
            return
        _refuse_unknown(connection, revision, database)
    state = "is empty" if revision is None else f"has schema {revision}"
    raise SchemaVersionError(
        f"the database {database} {state}, this code needs schema {newest_revision()}; "
        "run `tianyu init` to bring it up to date (rows are kept)"
    )


def _remove_half_made(connection: Connection) -> None:
    """Drop what a first ``tianyu init`` left that was killed, so that it can begin anew.

    MySQL commits at every table. Alembic makes the table of its revision first, and enters the
    revision last; before that nobody could have worked with the tables.
    """
    tables = set(inspect(connection).get_table_names())
    ours = tables & set(metadata.tables)
    if "alembic_version" not in tables or not ours or tables - ours != {"alembic_version"}:
        return
    if any(connection.scalar(select(exists(metadata.tables[name].select()))) for name in ours):
        return
    for view in inspect(connection).get_view_names():
        connection.exec_driver_sql(f"DROP VIEW `{view}`")
    metadata.drop_all(connection)


def _refuse_unknown(connection: Connection, revision: str | None, database: Database) -> None:
    if revision is None:
        tables = sorted(set(inspect(connection).get_table_names()) - {"alembic_version"})
        if tables:
            raise SchemaVersionError(
                f"the database {database} holds tables that are not ours ({tables[0]}, …); "
                "use an empty database"
            )
        return
    known = {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
    if revision not in known:
        raise SchemaVersionError(
            f"the database {database} has schema {revision}, which is newer than this code; "
            "install the version of tianyu that made it, or a newer one"
        )


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
