"""``tianyu process show`` as a person sees it."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tianyu.cli.console import new_table
from tianyu.cli.queries.processes import EndedAttempt, ProcessDetail, Relative
from tianyu.cli.render.status import state_text
from tianyu.cli.words import clock, duration, size

SHOWN = 8
"""Relatives listed one by one; more are counted by step and state."""


def process_view(detail: ProcessDetail) -> RenderableType:
    """Return everything of a process, for the terminal."""
    parts: list[RenderableType] = [_facts(detail)]
    parts += [_relatives("Parents", detail.parents), _relatives("Children", detail.children)]
    parts.append(Text("Parameters", style="bold"))
    parts.append(Text(json.dumps(detail.parameters, indent=2, ensure_ascii=False)))
    if detail.attempts:
        parts.append(_attempts(detail.attempts))
    if detail.error_text:
        parts.append(Text("Error", style="bold"))
        parts.append(Text(detail.error_text.rstrip()))
    return Group(*parts)


def _facts(detail: ProcessDetail) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_row("process", Text(detail.process, style="bold"))
    grid.add_row("step", detail.step)
    grid.add_row("state", state_text(detail.state))
    for name, value in _lines(detail):
        grid.add_row(name, Text(value))
    return grid


def _lines(detail: ProcessDetail) -> Iterator[tuple[str, str]]:
    yield "run", str(detail.run)
    yield "site, group", f"{detail.site or 'unknown'}, {detail.group or 'unknown'}"
    yield "priority", str(detail.priority)
    if not detail.repeatable:
        yield "repeatable", "no: fails when its worker vanishes"
    yield "published", f"{clock(detail.published)} UTC"
    if detail.started:
        yield "started", f"{clock(detail.started)} UTC"
    if detail.finished:
        yield "finished", f"{clock(detail.finished)} UTC"
    if detail.not_before:
        yield "not before", f"{clock(detail.not_before)} UTC"
    if detail.worker:
        yield "worker", detail.worker
    yield "attempts", str(detail.attempts_begun)
    if detail.failures or detail.lease_losses:
        yield "failed", f"{detail.failures} times since published or rescued"
        yield "lost", f"{detail.lease_losses} times with its worker"
    if detail.pending or detail.bad_parents:
        yield "waits for", f"{detail.pending} parents, {detail.bad_parents} of them bad"
    if detail.cancel_requested:
        yield "cancel", "asked for; its worker stops it at the next heartbeat"


def _relatives(title: str, relatives: Sequence[Relative]) -> RenderableType:
    if not relatives:
        return Text.assemble((title, "bold"), ": none")
    if len(relatives) > SHOWN:
        counts = Counter((relative.step, relative.state) for relative in relatives)
        listed = ", ".join(f"{n} × {step} {state}" for (step, state), n in counts.items())
        return Text.assemble((f"{title} ({len(relatives)})", "bold"), f": {listed}")
    lines = [Text.assemble((title, "bold"))]
    lines += [Text.assemble(f"  {r.process}  {r.step}  ", state_text(r.state)) for r in relatives]
    return Text("\n").join(lines)


def _attempts(attempts: Sequence[EndedAttempt]) -> Table:
    table = new_table("Attempts")
    table.add_column("no.", justify="right")
    table.add_column("outcome")
    table.add_column("started (UTC)")
    for name in ("wall", "CPU", "peak memory", "read", "written"):
        table.add_column(name, justify="right")
    table.add_column("worker")
    table.add_column("error")
    for a in attempts:
        table.add_row(
            str(a.number),
            a.outcome,
            clock(a.started),
            duration(a.wall_s),
            duration(a.cpu_s),
            size(a.peak_memory_bytes),
            size(a.bytes_read),
            size(a.bytes_written),
            Text(a.worker or ""),
            a.error_kind or "",
        )
    return table
