"""``docs/state-machine.md`` shows the transitions of the code, no more and no fewer."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from tianyu.schema.states import INITIAL, REGISTRY, TERMINAL, State, Transition

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "state-machine.md"

ARROW = re.compile(r"^ *(\S+) --> (\S+?)(?: : (.+))?$")
ROW = re.compile(r"^\| (\w+) → (\w+) \| (.+?) \| (\w+) \| `(\w+\.\w+)` \|$")


def arrows() -> set[tuple[str, str]]:
    (diagram,) = re.findall(r"```mermaid\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    found = [ARROW.match(line) for line in diagram.splitlines() if "-->" in line]
    assert all(found)
    return {(match[1], match[2]) for match in found if match}


def test_the_diagram_has_every_transition_and_no_other() -> None:
    expected = {(t.start.value, t.end.value) for t in REGISTRY}
    expected |= {("[*]", state.value) for state in INITIAL}
    # From failed and cancelled only a person leads on, but nothing need.
    expected |= {(state.value, "[*]") for state in TERMINAL}
    assert arrows() == expected


def test_the_table_says_who_does_what_and_where() -> None:
    rows = [ROW.match(line) for line in DOCUMENT.read_text().splitlines()]
    told = [Transition(State(row[1]), State(row[2]), row[3], row[4], row[5]) for row in rows if row]
    assert tuple(told) == REGISTRY


@pytest.mark.parametrize("place", sorted({t.place for t in REGISTRY}))
def test_the_functions_named_there_exist(place: str) -> None:
    module, _, function = place.partition(".")
    assert callable(getattr(import_module(f"tianyu.schema.transitions.{module}"), function))


def test_each_state_is_explained() -> None:
    text = DOCUMENT.read_text()
    assert [state for state in State if f"| `{state.value}` |" not in text] == []
