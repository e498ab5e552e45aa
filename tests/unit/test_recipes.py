"""The recipes there are."""

import pytest

from tianyu.pipelines.errors import InvalidParametersError
from tianyu.pipelines.step import validate
from tianyu.publisher.graph import GraphInputs, build_graph
from tianyu.publisher.publishing import PublishOptions
from tianyu.publisher.recipe import Recipe, Stage, check_recipe
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
        ({"dream": {}}, "no recipe has a step 'dream'; there are adopt_references, "),
        ({"master_flat": {"metod": "mode"}}, "no parameter 'metod'; it has calibration, method"),
        ({"master_bias": {"frames": [1]}}, "'frames' of step master_bias follows from the graph"),
    ],
)
def test_options_are_refused_before_anything_is_registered(steps, text):
    with pytest.raises(GraphError, match=text):
        check_step_options(steps)


def test_good_options_pass():
    check_step_options(OPTIONS.steps)


def test_stacks_have_processes_only_where_they_are_asked_for():
    """Six frames in chunks of two: three processes that measure stacks, one that compares."""

    def commands(options):
        inputs = GraphInputs(
            frames=[1, 2, 3, 4, 5, 6], surroundings={}, options=options, chunk_frames=2, fan_out=5
        )
        specs = build_graph(
            find_recipe("light_curves"), inputs, draw_ids=lambda n: range(1, n + 1),
            queue_of=lambda _group: 1,
        )  # fmt: skip
        return [spec.command for spec in specs]

    plain = commands({})
    assert not [command for command in plain if "stack_flux" in command]
    more = commands({"extract_stack_flux": {"time_scales": ["5", "10min"]}})
    assert more.count("extract_stack_flux") == 3
    assert more.count("relative_stack_flux") == 1
    assert [c for c in more if not c.endswith("stack_flux")] == plain


@pytest.mark.parametrize("scales", [[], ["5", "5 frames"], ["soon"]])
def test_time_scales_that_are_none_are_refused(scales):
    with pytest.raises(InvalidParametersError, match="time_scales"):
        validate("extract_stack_flux", {"frames": [1], "time_scales": scales})


def test_nothing_may_wait_for_what_may_be_left_out():
    stages = (
        Stage("bias", "master_bias", only_with="master_bias"),
        Stage("again", "master_bias", after=("bias",)),
    )
    with pytest.raises(GraphError, match="stage again: waits for 'bias', which may be left out"):
        check_recipe(Recipe("r", 1, "bias", "s", stages))
