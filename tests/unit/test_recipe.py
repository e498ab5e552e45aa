"""What a recipe may be, checked before anything runs."""

import pytest

from tianyu.pipelines.errors import InvalidParametersError
from tianyu.pipelines.step import find_step
from tianyu.publisher.recipe import Recipe, RunsAt, Scope, Stage, check_recipe, takes_list
from tianyu.schema.errors import GraphError

REFERENCE = Stage("reference", "choose_reference")
ALIGN = Stage("align", "calibrate_align", Scope.CHUNK, after=("reference",))
SELECT = Stage("select", "select_frames", after=("align",))


def recipe(*stages, kind="light"):
    return Recipe("r", 1, kind, "a recipe", stages)


def test_a_stage_waits_for_what_it_follows_and_what_feeds_it():
    stage = Stage("s", "stack_frames", after=("a", "b"), feeds={"children": "b", "x": "c"})
    assert stage.parents == ("a", "b", "c")


def test_data_come_down_through_several_stages():
    """The stack reads the verdicts of the selection, and partial stacks from before it."""
    stack = Stage(
        "stack", "stack_frames", Scope.TREE, after=("select",), feeds={"children": "align"}
    )
    check_recipe(recipe(REFERENCE, ALIGN, SELECT, stack))


@pytest.mark.parametrize(
    ("stages", "text"),
    [
        ((REFERENCE, REFERENCE), "the name is used twice"),
        ((ALIGN, REFERENCE), "waits for 'reference', which does not stand before it"),
        ((Stage("a", "calibrate_align", Scope.CHUNK),), "reads 'reference_frame', which no stage"),
        (
            (REFERENCE, ALIGN, Stage("s", "select_frames", Scope.CHUNK, after=("align",))),
            "step select_frames has no parameter 'frames'",
        ),
        (
            (REFERENCE, ALIGN, Stage("s", "select_frames", feeds={"kids": "align"})),
            "step select_frames has no parameter 'kids'",
        ),
        (
            (REFERENCE, ALIGN, SELECT, Stage("s", "stack_frames", Scope.TREE, after=("select",))),
            "a tree is fed by one stage, not by 0",
        ),
        (
            (
                REFERENCE,
                ALIGN,
                SELECT,
                Stage("stack", "stack_frames", Scope.TREE, ("select",), {"children": "align"}),
                Stage("d", "detect_sources", after=("stack",), feeds={"template": "align"}),
            ),
            "stage 'align' has a process per chunk, but 'template' of step detect_sources",
        ),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_work_is_refused(stages, text):
    with pytest.raises(GraphError, match=text):
        check_recipe(recipe(*stages))


def test_an_unknown_step_is_answered_with_the_known_ones():
    with pytest.raises(InvalidParametersError, match=r"no step 'dream'; known steps: .*align"):
        check_recipe(recipe(Stage("a", "dream")))


def test_a_recipe_is_for_a_kind_of_raw_frames():
    with pytest.raises(GraphError, match="'template' frames; give one of bias, dark, flat, light"):
        check_recipe(recipe(REFERENCE, kind="template"))


def test_lists_are_told_from_single_values():
    step = find_step("stack_frames")
    assert takes_list(step, "children")
    assert not takes_list(step, "level")


def test_nothing_that_reads_raw_frames_can_run_where_there_are_none():
    away = Stage("reference", "choose_reference", runs_at=RunsAt.SCIENCE)
    with pytest.raises(GraphError, match="choose_reference reads light frames, so it runs at thei"):
        check_recipe(Recipe("r", 1, "light", "s", (away,)))


def test_only_trees_have_leaves():
    strange = Stage("select", "select_frames", after=("align",), leaves_at=RunsAt.SCIENCE)
    with pytest.raises(GraphError, match="leaves_at is for trees"):
        check_recipe(Recipe("r", 1, "light", "s", (REFERENCE, ALIGN, strange)))
