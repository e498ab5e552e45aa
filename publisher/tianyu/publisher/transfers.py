"""Processes that bring files from one site to another, put into a graph where they are needed."""

from collections.abc import Sequence
from dataclasses import replace

from tianyu.pipelines.step import find_step
from tianyu.publisher.drafts import Draft
from tianyu.publisher.recipe import RunsAt

TRANSFER = "transfer"


def with_transfers(drafts: Sequence[Draft]) -> list[Draft]:
    """Put a transfer before everything that reads files of a process at the other site.

    Files are known by the process that made them, wherever copies of them lie: so the reader is
    told the same as without a transfer, and only waits for one more process. What two processes
    read at one site is brought there once.

    Parameters
    ----------
    drafts : sequence of Draft
        Parents before children.

    Returns
    -------
    list of Draft
        The same in the same order, and the transfers among them.
    """
    woven: list[Draft] = []
    moved: list[int] = []
    brought: dict[tuple[int, RunsAt], int] = {}
    for draft in drafts:
        needed = []
        for source in dict.fromkeys(i for fed in draft.feeds.values() for i in fed):
            if drafts[source].at is draft.at:
                continue
            if (source, draft.at) not in brought:
                brought[source, draft.at] = len(woven)
                woven.append(_transfer(moved[source], draft.at))
            needed.append(brought[source, draft.at])
        moved.append(len(woven))
        woven.append(
            replace(
                draft,
                parents=(*(moved[i] for i in draft.parents), *needed),
                feeds={name: tuple(moved[i] for i in fed) for name, fed in draft.feeds.items()},
            )
        )
    return woven


def _transfer(source: int, at: RunsAt) -> Draft:
    return Draft(find_step(TRANSFER), {}, (source,), {"source": (source,)}, at=at)
