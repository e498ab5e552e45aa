"""The recipes there are."""

import pytest

from tianyu.publisher.publishing import PublishOptions
from tianyu.publisher.recipe import check_recipe
from tianyu.publisher.recipes import DEFAULT_RECIPES, RECIPES, find_recipe
from tianyu.publisher.step_options import check_step_options, options_for
from tianyu.schema.errors import GraphError, NotFoundError

OPTIONS = PublishOptions(
    recipe="light_curves",
    chunk_frames=4,
    fan_out=3,
    steps={"master_flat": {"method": "mode"}, "detect_sources": {"threshold_sigma": 4.0}},
    priority=7,
)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipe_can_work(recipe):
    check_recipe(recipe)
    assert recipe.summary


@pytest.mark.parametrize(("kind", "name"), DEFAULT_RECIPES.items())
def test_every_kind_of_frames_has_a_recipe_for_it(kind, name):
    assert find_recipe(name).kind == kind


def test_an_unknown_recipe_is_answered_with_the_known_ones():
    with pytest.raises(NotFoundError, match=r"no recipe 'x'; known recipes: master_bias, .*light"):
        find_recipe("x")


def test_every_run_gets_the_options_of_its_own_steps():
    assert options_for(OPTIONS, "flat").steps == {"master_flat": {"method": "mode"}}
    assert options_for(OPTIONS, "light").steps == {"detect_sources": {"threshold_sigma": 4.0}}
    assert options_for(OPTIONS, "bias").steps == {}


def test_masters_stay_the_same_whatever_is_tried_on_light_frames():
    flat = options_for(OPTIONS, "flat")
    assert (flat.recipe, flat.priority) == (None, 7)
    assert (flat.chunk_frames, flat.fan_out) != (4, 3)
    assert options_for(OPTIONS, "light").chunk_frames == 4


def test_what_no_recipe_takes_is_left_for_the_light_frames_to_refuse():
    strange = PublishOptions(steps={"dream": {}})
    assert options_for(strange, "light").steps == {"dream": {}}


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ({"dream": {}}, "no recipe has a step 'dream'; there are adopt_template, "),
        ({"master_flat": {"metod": "mode"}}, "no parameter 'metod'; it has calibration, method"),
        ({"master_bias": {"frames": [1]}}, "'frames' of step master_bias follows from the graph"),
    ],
)
def test_options_are_refused_before_anything_is_registered(steps, text):
    with pytest.raises(GraphError, match=text):
        check_step_options(steps)


def test_good_options_pass():
    check_step_options(OPTIONS.steps)
