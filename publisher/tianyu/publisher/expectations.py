"""Where registered targets are expected in the frames of an observation."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from tianyu.publisher.observations import find_frame
from tianyu.schema.errors import ConfigurationError, NotFoundError
from tianyu.schema.tables import Image, ObservationTarget


@dataclass(frozen=True)
class ExpectedTarget:
    """Where a registered target stands; ``frame`` names the file whose pixels are meant.

    Without a pixel the target is looked up by its coordinates, where there is a WCS.

    Raises
    ------
    ConfigurationError
        If only part of a position is given.
    """

    target_id: int
    frame: str | None = None
    x: float | None = None
    y: float | None = None

    def __post_init__(self) -> None:
        check_position(self.frame, self.x, self.y)


def check_position(frame: str | None, x: float | None, y: float | None) -> None:
    """Refuse a part of a position: a pixel means nothing without its frame.

    Raises
    ------
    ConfigurationError
        If some of the three are given and some are not.
    """
    given = [value is not None for value in (frame, x, y)]
    if any(given) and not all(given):
        raise ConfigurationError(
            f"a target's position needs x, y and the name of the frame in which they are "
            f"counted; got x = {x}, y = {y}, frame = {frame!r}"
        )


def expect_target(connection: Connection, observation_id: int, target: ExpectedTarget) -> None:
    """Note where a target stands in an observation's frames; the last word counts.

    Raises
    ------
    NotFoundError
        If the frame is not one of the observation.
    ConfigurationError
        If the pixel is not in the frame.
    """
    image_id, x, y = None, target.x, target.y
    if target.frame is not None:
        image_id, x, y = _frame_with_pixel(connection, observation_id, target)
    connection.execute(
        delete(ObservationTarget).where(
            ObservationTarget.observation_id == observation_id,
            ObservationTarget.target_id == target.target_id,
        )
    )
    connection.execute(
        insert(ObservationTarget).values(
            observation_id=observation_id,
            target_id=target.target_id,
            image_id=image_id,
            x=x,
            y=y,
        )
    )


def is_expected(connection: Connection, observation_id: int, target_id: int) -> bool:
    """Tell whether a target has been noted for an observation."""
    query = select(ObservationTarget.target_id).where(
        ObservationTarget.observation_id == observation_id,
        ObservationTarget.target_id == target_id,
    )
    return connection.scalar(query) is not None


def _frame_with_pixel(
    connection: Connection, observation_id: int, target: ExpectedTarget
) -> tuple[int, float, float]:
    """Return a frame, and the pixel counted from the first that sees light."""
    name, x, y = str(target.frame), float(target.x or 0.0), float(target.y or 0.0)
    image_id = find_frame(connection, observation_id, name)
    if image_id is None:
        raise NotFoundError(f"observation {observation_id} has no frame {name!r}")
    image = connection.execute(
        select(Image.name, Image.width, Image.height, Image.header).where(Image.id == image_id)
    ).one()
    # A person counts the pixels of the file, overscan and all.
    x0, _, y0, _ = image.header.get("data_section", (0, 0, 0, 0))
    x, y = x - x0, y - y0
    # A pixel's centre is a whole number: the first one reaches from -0.5 to 0.5.
    if not (-0.5 <= x <= image.width - 0.5 and -0.5 <= y <= image.height - 0.5):
        raise ConfigurationError(
            f"pixel ({x:g}, {y:g}) is not in {image.name}, which has {image.width}×{image.height} "
            "pixels; count from 0 and give x (column) first"
        )
    return image_id, x, y
