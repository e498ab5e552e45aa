"""The recipes: data, no code. A new step becomes part of a night by one line here."""

from collections.abc import Mapping

from tianyu.publisher.recipe import Recipe, RunsAt, Scope, Stage
from tianyu.schema.errors import NotFoundError

MASTER_BIAS = Recipe(
    "master_bias", 1, "bias", "mean of bias frames", (Stage("bias", "master_bias"),)
)

MASTER_DARK = Recipe(
    "master_dark", 1, "dark", "mean of dark frames", (Stage("dark", "master_dark"),)
)

MASTER_FLAT = Recipe(
    "master_flat", 1, "flat", "relative response of the pixels", (Stage("flat", "master_flat"),)
)

SCIENCE = RunsAt.SCIENCE
"""What reads rows and stacks only; all the rest stays where the frames are."""

STACKS = "extract_stack_flux"
"""Light curves on stacks are made where this step has options."""

LIGHT_CURVES = Recipe(
    "light_curves",
    4,
    "light",
    "one night on one field: template, sources, fluxes, relative photometry",
    (
        Stage("reference", "choose_reference", is_adoptable=True),
        Stage(
            "align",
            "calibrate_align",
            Scope.CHUNK,
            after=("reference",),
            is_adoptable=True,
            gains_by_gpu=True,
        ),
        Stage("select", "select_frames", after=("align",)),
        # Its lowest level puts right what pass 1 misjudged, which takes raw frames.
        Stage(
            "stack",
            "stack_frames",
            Scope.TREE,
            after=("select",),
            feeds={"children": "align"},
            runs_at=SCIENCE,
            leaves_at=RunsAt.FRAMES,
        ),
        Stage("solve", "solve_field", feeds={"template": "stack"}, runs_at=SCIENCE),
        Stage(
            "detect",
            "detect_sources",
            after=("solve",),
            feeds={"template": "stack"},
            runs_at=SCIENCE,
        ),
        Stage("match", "match_catalogue", after=("detect",), runs_at=SCIENCE),
        Stage("pattern", "fixed_pattern", after=("detect",)),
        Stage(
            "extract",
            "extract_flux",
            Scope.CHUNK,
            feeds={"pattern": "pattern"},
            gains_by_gpu=True,
        ),
        Stage("relative", "relative_photometry", after=("extract", "match"), runs_at=SCIENCE),
        Stage("magnitudes", "calibrate_magnitudes", after=("relative",), runs_at=SCIENCE),
        # Light curves on stacks: only where --set extract_stack_flux.time_scales asks for them.
        Stage(
            "stack_extract",
            STACKS,
            Scope.CHUNK,
            feeds={"pattern": "pattern"},
            only_with=STACKS,
        ),
        Stage(
            "stack_relative",
            "relative_stack_flux",
            after=("stack_extract", "relative"),
            only_with=STACKS,
            runs_at=SCIENCE,
        ),
        Stage("diagnostics", "diagnostics", after=("relative",), runs_at=SCIENCE),
    ),
)

LIGHT_CURVES_ONE_PASS = Recipe(
    "light_curves_one_pass",
    3,
    "light",
    "another night of a sky, measured at the sources of its template; frames are read once",
    (
        Stage("template", "adopt_template", is_adoptable=True),
        Stage(
            "measure",
            "measure_frames",
            Scope.CHUNK,
            after=("template",),
            is_adoptable=True,
            gains_by_gpu=True,
        ),
        Stage("select", "select_frames", after=("measure",)),
        Stage("relative", "relative_photometry", after=("measure", "select"), runs_at=SCIENCE),
        Stage("magnitudes", "calibrate_magnitudes", after=("relative",), runs_at=SCIENCE),
        Stage("diagnostics", "diagnostics", after=("relative",), runs_at=SCIENCE),
    ),
)

LIVE = Recipe(
    "live",
    1,
    "light",
    "provisional: frames of an open night as they come, against the references of a template",
    (
        Stage("template", "adopt_template"),
        Stage("references", "adopt_references", after=("template",)),
        Stage("measure", "measure_live", Scope.CHUNK, after=("references",)),
    ),
)

RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        MASTER_BIAS,
        MASTER_DARK,
        MASTER_FLAT,
        LIGHT_CURVES,
        LIGHT_CURVES_ONE_PASS,
        LIVE,
    )
}

DEFAULT_RECIPES: Mapping[str, str] = {
    "bias": MASTER_BIAS.name,
    "dark": MASTER_DARK.name,
    "flat": MASTER_FLAT.name,
    "light": LIGHT_CURVES.name,
}
"""What is made of an observation by its kind; an instrument may name another for light frames."""


def find_recipe(name: str) -> Recipe:
    """Return a recipe by name.

    Raises
    ------
    NotFoundError
        If there is none; the text lists the known ones.
    """
    if name not in RECIPES:
        raise NotFoundError(f"there is no recipe {name!r}; known recipes: {', '.join(RECIPES)}")
    return RECIPES[name]
