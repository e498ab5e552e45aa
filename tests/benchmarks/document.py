"""Renew the figures of ``docs/performance.md``: ``python -m tests.benchmarks.document``.

What stands between two marks is replaced by what the last ``make bench`` left in
``build/bench.json``, by the scaling study, and by the last profile; everything else is written
by hand.
"""

import re
from collections.abc import Sequence
from typing import Any

from tests.benchmarks.goals import GOALS
from tests.benchmarks.profile_frame import PROFILE
from tests.benchmarks.scaling import (
    REPOSITORY,
    STORAGES,
    Load,
    measured_loads,
    read_answer,
    throughput,
)
from tests.benchmarks.scaling_figure import draw, table

PAGE = REPOSITORY / "docs" / "performance.md"
FIGURE = REPOSITORY / "docs" / "images" / "scaling.png"


def main() -> None:
    """Write tables and figure."""
    answer = read_answer()
    designs = measured_loads(answer)
    page = PAGE.read_text()
    page = _replaced(page, "run", _run(answer))
    page = _replaced(page, "goals", _goals(answer))
    page = _replaced(page, "steps", _steps(answer))
    page = _replaced(page, "consumers", _consumers(answer, designs["two passes"]))
    page = _replaced(page, "scaling", table(designs))
    if PROFILE.is_file():
        trees = [line.rstrip() for line in PROFILE.read_text().splitlines()]
        page = _replaced(page, "profile", ["```", *trees, "```"])
    PAGE.write_text(page)
    draw(designs, FIGURE)
    print(f"written: {PAGE}, {FIGURE}")


def _replaced(page: str, name: str, lines: list[str]) -> str:
    """Put lines between two marks."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"{PAGE} has no marks <!-- {name} --> and <!-- /{name} -->")
    text = "\n".join(lines)
    return pattern.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page)


def _run(answer: dict[str, Any]) -> list[str]:
    machine, steps = answer["machine"], answer["steps"]
    rounds = len(answer["ratios"]["chain_vs_astropy_sep"]["rounds"])
    text = (
        f"{steps['frames']} frames, {steps['sources']} sources, {rounds} "
        f"round{'s' * (rounds != 1)}, {machine['cores']} cores, {machine['memory_gb']:g} GB, "
        f"Python {machine['python']}; load of the machine {machine['load'][0]:.1f}."
    )
    return [text]


def _goals(answer: dict[str, Any]) -> list[str]:
    lines = ["| | goal | measured | spread | |", "|---|--:|--:|--:|---|"]
    for goal in GOALS:
        found = answer["ratios"].get(goal.name)
        if found is None:
            continue
        sign = "≥" if goal.more_is_better else "≤"
        limit = "" if goal.limit is None else f"{sign} {goal.limit:g} {goal.unit}"
        met = {True: "met", False: "**missed**", None: ""}[found["met"]]
        spread = f"{min(found['rounds']):.3g}–{max(found['rounds']):.3g}"
        lines.append(
            f"| {goal.text} | {limit} | {found['value']:.3g} {goal.unit} | {spread} | {met} |"
        )
    return lines


def _steps(answer: dict[str, Any]) -> list[str]:
    steps = answer["steps"]
    lines = [
        "| | processor ms | read / raw | written / raw |",
        "|---|--:|--:|--:|",
        _step("reading the bytes, warm", steps["reading"]),
    ]
    lines += [_step(f"astropy + SEP: {name}", cost) for name, cost in steps["astropy_sep"].items()]
    lines.append(_step("photutils", steps["photutils"]))
    for design in ("two passes", "one pass", "MariaDB"):
        lines += [
            _step(f"{design}: {name}", cost)
            for name, cost in steps.get(design, {}).items()
            if cost["processor_ms"] >= LEAST_SHOWN_MS
        ]
    return lines


def _consumers(answer: dict[str, Any], loads: Sequence[Load]) -> list[str]:
    """Return what each step gains by a second child, measured and simulated."""
    simulated = {
        load.name: throughput(load, 2, STORAGES[-1]) / throughput(load, 1, STORAGES[-1])
        for load in loads
    }
    lines = [
        "| step | one, s | two, s | gain | of each process | simulated |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for step, gain in answer["steps"].get("consumers", {}).items():
        if max(gain["one_s"], gain["two_s"]) < LEAST_SHOWN_S:
            continue
        each = "" if gain["each"] is None else f"{gain['each']:.2f}"
        lines.append(
            f"| {step} | {gain['one_s']:.2f} | {gain['two_s']:.2f} "
            f"| {gain['one_s'] / gain['two_s']:.2f} | {each} "
            f"| {f'{simulated[step]:.2f}' if step in simulated else ''} |"
        )
    return lines


LEAST_SHOWN_MS = 1.0
LEAST_SHOWN_S = 0.05


def _step(name: str, cost: dict[str, float]) -> str:
    return f"| {name} | {cost['processor_ms']:.1f} | {cost['read']:.2f} | {cost['written']:.2f} |"


if __name__ == "__main__":
    main()
