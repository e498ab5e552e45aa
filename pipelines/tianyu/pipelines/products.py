"""What a step made: rows that the engine commits in the transaction of its success."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, Table, insert

from tianyu.schema.base import Base
from tianyu.schema.bulk import Column, insert_columns, plain
from tianyu.schema.dialects import now_us
from tianyu.schema.tables import Image, ImageCopy

Writer = Callable[[Connection], None]


@dataclass
class NewImage:
    """A product with a file; its ``id`` is known once its row has been inserted."""

    kind: str
    name: str
    path: str
    size_bytes: int
    checksum: str
    width: int
    height: int
    run_id: int
    birth: int
    site_id: int
    observation_id: int | None = None
    binning: int = 1
    exposure_s: float | None = None
    utc_start: datetime | None = None
    utc_mid: datetime | None = None
    header: Mapping[str, Any] = field(default_factory=dict)
    id: int | None = None

    def known_id(self) -> int:
        """Return the id.

        Raises
        ------
        RuntimeError
            Before the row has been inserted: writers run in the order they were added.
        """
        if self.id is None:
            raise RuntimeError(f"the image {self.name} has no id before its row is inserted")
        return self.id


class Products:
    """Rows to be committed, in the order in which they were added.

    Writers may run more than once (a deadlock repeats the transaction), so they only insert
    and update; nothing else may happen in them.
    """

    def __init__(self) -> None:
        self._writers: list[Writer] = []

    def rows(self, table: type[Base], columns: Mapping[str, Column]) -> None:
        """Add many rows given as columns."""
        target = cast("Table", table.__table__)
        self._writers.append(lambda connection: _insert_all(connection, target, columns))

    def row(self, table: type[Base], **values: Any) -> None:
        """Add one row."""
        self._writers.append(lambda connection: self.insert_row(connection, table, **values))

    @staticmethod
    def insert_row(connection: Connection, table: type[Base], **values: Any) -> None:
        """Insert one row at once; for writers that need the id of an image before it."""
        connection.execute(insert(table).values(**{name: plain(v) for name, v in values.items()}))

    def image(self, image: NewImage) -> NewImage:
        """Add a product with its file."""
        self._writers.append(lambda connection: _insert_image(connection, image))
        return image

    def then(self, writer: Writer) -> None:
        """Add what needs to read and write within the transaction."""
        self._writers.append(writer)

    def write(self, connection: Connection) -> None:
        """Insert everything; called by the engine inside the transaction of the success."""
        for writer in self._writers:
            writer(connection)


def _insert_all(connection: Connection, table: Table, columns: Mapping[str, Column]) -> None:
    insert_columns(connection, table, columns)


def _insert_image(connection: Connection, image: NewImage) -> None:
    result = connection.execute(
        insert(Image).values(
            kind=image.kind,
            name=image.name,
            observation_id=image.observation_id,
            run_id=image.run_id,
            birth=image.birth,
            width=image.width,
            height=image.height,
            binning=image.binning,
            exposure_s=image.exposure_s,
            utc_start=image.utc_start,
            utc_mid=image.utc_mid,
            header=dict(image.header),
        )
    )
    key = result.inserted_primary_key
    image.id = int(key[0]) if key is not None else None
    connection.execute(
        insert(ImageCopy).values(
            image_id=image.known_id(),
            site_id=image.site_id,
            path=image.path,
            size_bytes=image.size_bytes,
            checksum=image.checksum,
            created_us=now_us(),
        )
    )
