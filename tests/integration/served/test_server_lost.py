"""A database server that dies: its errors are worth another try, and what it said is kept."""

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from tests.integration.engine.backends import closing
from tests.servers.mariadb import DatabaseServer

from tianyu.schema.dialects import is_transient


def test_a_killed_server_is_worth_another_try_and_keeps_what_it_committed(
    breakable_database_server: DatabaseServer,
) -> None:
    server = breakable_database_server
    server.make_healthy()
    with server.fresh_database() as url, closing(url) as database:
        with database.write() as connection:
            connection.execute(text("CREATE TABLE t (x INTEGER PRIMARY KEY)"))
        with database.write() as connection:
            connection.execute(text("INSERT INTO t VALUES (1)"))

        def insert_and_kill(connection: Connection) -> None:
            connection.execute(text("INSERT INTO t VALUES (2)"))
            server.kill()
            connection.execute(text("INSERT INTO t VALUES (3)"))

        with pytest.raises(DBAPIError) as lost, database.write() as connection:
            insert_and_kill(connection)
        with pytest.raises(DBAPIError) as away, database.read():
            pass
        assert is_transient(lost.value)
        assert is_transient(away.value)

        server.start()
        with database.read() as connection:
            assert connection.scalars(text("SELECT x FROM t")).all() == [1]


def test_a_frozen_server_goes_on_where_it_was(breakable_database_server: DatabaseServer) -> None:
    server = breakable_database_server
    server.make_healthy()
    with server.fresh_database() as url:
        quick = f"{url}&read_timeout=1&connect_timeout=1"
        with closing(quick) as database:
            with database.read() as connection:
                connection.execute(text("SELECT 1"))
            server.pause()
            # The pool's look whether the connection lives ends it, and a new one is not answered.
            with pytest.raises(DBAPIError) as silent, database.read() as connection:
                connection.execute(text("SELECT 1"))
            assert is_transient(silent.value)
            server.resume()
            with database.read() as connection:
                assert connection.scalar(text("SELECT 1")) == 1
