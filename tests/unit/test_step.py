"""What a step is, its parameters, and the registry."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from tianyu.pipelines.errors import InvalidParametersError
from tianyu.pipelines.products import Products
from tianyu.pipelines.step import (
    ProcessId,
    StepParameters,
    all_steps,
    find_step,
    step,
    validate,
)


class Bake(StepParameters):
    """Parameters of a step that is registered for these tests only."""

    oven: ProcessId
    others: tuple[ProcessId, ...] = ()
    minutes: float = Field(20.0, gt=0)


@pytest.fixture(scope="module", autouse=True)
def _bake():
    @step("bake", parameters=Bake, reads=("dough",), writes=("bread",), time_limit_s=7.0)
    def bake(parameters, context):
        """Bake a loaf.

        Not twice.
        """
        return Products()

    from tianyu.pipelines import step as module

    yield
    del module._REGISTRY["bake"]


def test_a_registered_step_is_found_with_what_it_declared():
    found = find_step("bake")
    assert (found.reads, found.writes) == (("dough",), ("bread",))
    assert (found.group, found.repeatable, found.time_limit_s) == ("cpu", True, 7.0)
    assert found.summary == "Bake a loaf."


def test_two_steps_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two steps are called 'bake'; step names must be unique"):
        step("bake", parameters=Bake, reads=(), writes=())(len)


def test_all_steps_come_in_the_order_of_their_names():
    names = list(all_steps())
    assert names == sorted(names)
    assert {"bake", "calibrate_align", "relative_photometry"} <= set(names)


OURS = [name for name, found in all_steps().items() if found.run.__module__.startswith("tianyu.")]
"""Without those that other tests have registered, and may take away again."""


@pytest.mark.parametrize("name", OURS)
def test_every_step_says_what_it_does_and_documents_its_parameters(name):
    found = all_steps()[name]
    assert found.summary.endswith(".")
    assert found.parameters.__doc__
    assert found.writes
    assert found.time_limit_s > 0
    assert json.loads(json.dumps(found.parameters.model_json_schema()))


def test_an_unknown_step_is_answered_with_the_known_ones():
    with pytest.raises(InvalidParametersError, match=r"no step 'brew'; known steps: adopt_m"):
        find_step("brew")


@given(
    oven=st.integers(1, 2**63 - 1),
    others=st.lists(st.integers(1, 2**63 - 1)),
    minutes=st.floats(0.001, 1e9),
)
def test_parameters_survive_json_to_the_last_digit(oven, others, minutes):
    values = {"oven": str(oven), "others": [str(pid) for pid in others], "minutes": minutes}
    checked = validate("bake", json.loads(json.dumps(values)))
    assert (checked.oven, checked.others, checked.minutes) == (oven, tuple(others), minutes)
    again = validate("bake", json.loads(checked.model_dump_json()))
    assert again == checked


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, r"oven = .*Field required"),
        ({"oven": 7}, "a process id is written as a string, got 7"),
        ({"oven": 1.7e18}, "written as a string"),
        ({"oven": "7.5"}, "is not a process id"),
        ({"oven": "-7"}, "is not a process id"),
        ({"oven": "7", "others": ["8", 9]}, r"others\.1 = 9"),
        ({"oven": "7", "minutes": 0}, "minutes = 0: Input should be greater than 0"),
        ({"oven": "7", "minutes": float("nan")}, "minutes = nan"),
        ({"oven": "7", "minute": 3}, r"minute = 3: Extra inputs are not permitted"),
    ],
)
def test_every_bad_value_is_named(values, text):
    with pytest.raises(InvalidParametersError, match=r"step bake are not valid: .*" + text):
        validate("bake", values)


def test_all_bad_values_are_named_at_once():
    with pytest.raises(InvalidParametersError) as caught:
        validate("bake", {"oven": 7, "minutes": -1})
    assert "oven" in str(caught.value)
    assert "minutes" in str(caught.value)


def test_parameters_are_not_changed_after_they_were_checked():
    checked = validate("bake", {"oven": "7"})
    with pytest.raises(ValueError, match="frozen"):
        checked.minutes = 3.0
