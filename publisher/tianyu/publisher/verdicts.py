"""What people say of frames: stored for good, and part of every later run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, func, insert, select

from tianyu.publisher.observations import find_frame
from tianyu.schema.dialects import now_us
from tianyu.schema.errors import ConfigurationError, NotFoundError
from tianyu.schema.tables import Frame, FrameOverride, Image
from tianyu.schema.transitions.batches import in_batches


class Word(StrEnum):
    """What a person may say of a frame."""

    REJECT = "reject"
    ACCEPT = "accept"
    RESET = "reset"
    """Take back what was said: the tests decide again."""


@dataclass(frozen=True)
class Saying:
    """One word on some frames, named as files are: case, folder and ending do not matter."""

    word: Word
    frames: tuple[str, ...]
    reason: str | None = None


@dataclass(frozen=True)
class Override:
    """What counts for a frame now."""

    image_id: int
    fingerprint: str
    is_good: bool
    author: str
    reason: str | None

    @property
    def parameters(self) -> dict[str, Any]:
        """As the step ``select_frames`` takes it."""
        return {
            "image_id": self.image_id,
            "is_good": self.is_good,
            "author": self.author,
            "reason": self.reason,
        }


def record(
    connection: Connection, observation_id: int, sayings: Sequence[Saying], author: str
) -> int:
    """Store what a person said; return the number of frames whose verdict it changes.

    What counts already is not stored again, unless there is another reason for it.

    Raises
    ------
    NotFoundError
        If a frame is not one of the observation.
    ConfigurationError
        If two words are said of one frame, or a frame is accepted that no run could align.
    """
    said: dict[int, tuple[Word, str | None]] = {}
    for saying in sayings:
        for name in saying.frames:
            image_id = find_frame(connection, observation_id, name)
            if image_id is None:
                raise NotFoundError(
                    f"observation {observation_id} has no frame {name!r}; see `tianyu frames`"
                )
            if said.get(image_id, (saying.word, None))[0] is not saying.word:
                raise ConfigurationError(f"two verdicts on {name!r}; give one")
            if saying.word is Word.ACCEPT:
                _refuse_unaligned(connection, image_id, name)
            said[image_id] = (saying.word, saying.reason)
    before = {o.image_id: o for o in read_overrides(connection, list(said))}
    new = [
        {"image_id": i, "verdict": word.value, "reason": reason, "author": author}
        for i, (word, reason) in said.items()
        if not _is_said(before.get(i), word, reason)
    ]
    if new:
        connection.execute(insert(FrameOverride).values(created_us=now_us()), new)
    return sum(
        (_verdict(word) is None) != (i not in before)
        or (i in before and before[i].is_good is not _verdict(word))
        for i, (word, _) in said.items()
    )


def read_overrides(connection: Connection, image_ids: Sequence[int]) -> list[Override]:
    """Return what counts for frames now, in the order of their ids."""
    found = []
    for ids in in_batches(image_ids):
        newest = (
            select(func.max(FrameOverride.id))
            .where(FrameOverride.image_id.in_(ids))
            .group_by(FrameOverride.image_id)
        )
        query = (
            select(FrameOverride.__table__, Image.fingerprint)
            .join(Image, Image.id == FrameOverride.image_id)
            .where(FrameOverride.id.in_(list(connection.scalars(newest))))
            .where(FrameOverride.verdict != Word.RESET.value)
        )
        found += [
            Override(
                row.image_id,
                row.fingerprint or str(row.image_id),
                row.verdict == Word.ACCEPT.value,
                row.author,
                row.reason,
            )
            for row in connection.execute(query)
        ]
    return sorted(found, key=lambda override: override.image_id)


def _verdict(word: Word) -> bool | None:
    verdicts: Mapping[Word, bool | None] = {Word.ACCEPT: True, Word.REJECT: False, Word.RESET: None}
    return verdicts[word]


def _is_said(before: Override | None, word: Word, reason: str | None) -> bool:
    if before is None:
        return word is Word.RESET
    return before.is_good is _verdict(word) and reason in {None, before.reason}


def _refuse_unaligned(connection: Connection, image_id: int, name: str) -> None:
    """Refuse a frame that runs have tried to align, none with success."""
    rows = connection.execute(
        select(Frame.is_aligned, Frame.problem)
        .where(Frame.image_id == image_id)
        .order_by(Frame.run_id.desc())
    ).all()
    if rows and not any(row.is_aligned for row in rows):
        raise ConfigurationError(
            f"{name!r} cannot be accepted, since it could not be aligned: "
            f"{rows[0].problem or 'no reason is known'}"
        )
