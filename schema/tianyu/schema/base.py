"""The declarative base, its naming convention and the column types shared by all tables."""

import ctypes
import math
from typing import Annotated, Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    TypeDecorator,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.sql.elements import ColumnElement

from tianyu.schema.dialects import widened

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite gives an automatic number only to a column declared exactly INTEGER.
BIG_ID = BigInteger().with_variant(Integer(), "sqlite")
# MySQL's plain DATETIME keeps whole seconds only.
UTC_DATETIME = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
# MySQL's plain BLOB ends at 64 KiB; a star list or a sky mesh may be larger.
BLOB = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


class Single(TypeDecorator[float]):
    """A number of single precision: 4 bytes in MySQL, and the same digits in every database.

    SQLite has only doubles and MySQL shows six digits of its FLOAT. So values are rounded
    before they are stored, and read with all of their 24 bits: a light curve does not depend
    on where it lies. What is not finite, or too large, is NULL.
    """

    impl = Float(24)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> float | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Round a value to single precision."""
        if value is None:
            return None
        rounded = ctypes.c_float(value).value
        return rounded if math.isfinite(rounded) else None

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[float]:
        """Read a column with all of its digits."""
        return widened(column)


SINGLE = Single()


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads this attribute from the class
        float: Double(),
        dict[str, Any]: JSON(),
        bytes: BLOB,
    }


Serial = Annotated[int, mapped_column(BIG_ID, primary_key=True, autoincrement=True)]
"""An automatic row number."""

Pid = Annotated[int, mapped_column(BigInteger())]
"""Id of a process; see :mod:`tianyu.schema.pid`."""

Name = Annotated[str, mapped_column(String(190))]
"""A name people give; 190 characters, so that a unique index fits every MySQL row format."""

Microseconds = Annotated[int, mapped_column(BigInteger())]
"""Time by the database's own clock, microseconds since 1970 UTC."""
