"""From a recipe and frames to processes with their dependencies."""

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianyu.pipelines.errors import InvalidParametersError
from tianyu.pipelines.step import validate
from tianyu.publisher.graph import GraphInputs, build_graph, check_options, chunks
from tianyu.publisher.recipes import LIGHT_CURVES, LIGHT_CURVES_ONE_PASS, MASTER_FLAT
from tianyu.publisher.reuse import Reuse
from tianyu.schema.errors import GraphError


def build(
    n_frames=1, recipe=LIGHT_CURVES, *, chunk=1, fan_out=5, surroundings=None, parents=(),
    reuse=None, science_queues=None, with_gpu=False, **options,
):  # fmt: skip
    inputs = GraphInputs(
        frames=range(1, n_frames + 1),
        surroundings=surroundings or {},
        options=options,
        chunk_frames=chunk,
        fan_out=fan_out,
        parents=parents,
        with_gpu=with_gpu,
    )
    ids = itertools.count(10**18)
    return build_graph(
        recipe,
        inputs,
        draw_ids=lambda n: [next(ids) for _ in range(n)],
        queue_of={"cpu": 1, "gpu": 2}.__getitem__,
        science_queue_of=None if science_queues is None else science_queues.__getitem__,
        priority=7,
        reuse=reuse,
    )


def of(processes, command):
    return [process for process in processes if process.command == command]


def test_one_night_of_five_frames_in_chunks_of_two():
    """Worked by hand: three chunks; one node merges three stacks, so it is the root."""
    processes = build(5, chunk=2)
    assert [process.command for process in processes] == [
        "choose_reference",
        "calibrate_align", "calibrate_align", "calibrate_align",
        "select_frames",
        "stack_frames",
        "solve_field",
        "detect_sources",
        "match_catalogue",
        "fixed_pattern",
        "extract_flux", "extract_flux", "extract_flux",
        "relative_photometry",
        "calibrate_magnitudes",
        "diagnostics",
    ]  # fmt: skip
    number = {process.id: i for i, process in enumerate(processes)}
    parents = [sorted(number[parent] for parent in process.parents) for process in processes]
    assert parents == [
        [], [0], [0], [0], [1, 2, 3], [1, 2, 3, 4], [5], [5, 6], [7], [7],
        [9], [9], [9], [8, 10, 11, 12], [13], [13],
    ]  # fmt: skip
    align = of(processes, "calibrate_align")
    assert [p.parameters["frames"] for p in align] == [[1, 2], [3, 4], [5]]
    assert [p.parameters["position"] for p in align] == [0, 1, 2]
    (stack,) = of(processes, "stack_frames")
    assert stack.parameters["children"] == [str(p.id) for p in align]
    assert (stack.parameters["level"], stack.parameters["is_root"]) == (1, True)
    (detect,) = of(processes, "detect_sources")
    assert detect.parameters["template"] == str(stack.id)
    assert {(p.queue_id, p.priority, p.repeatable) for p in processes} == {(1, 7, True)}


@given(n=st.integers(1, 30), fan_out=st.integers(2, 7))
def test_the_tree_holds_every_leaf_once_and_has_one_root_that_comes_last(n, fan_out):
    processes = build(n, fan_out=fan_out)
    leaves = [process.id for process in of(processes, "calibrate_align")]
    nodes = of(processes, "stack_frames")
    levels = {}
    for node in nodes:
        levels.setdefault(node.parameters["level"], []).append(node)
    below = leaves
    for level in range(1, len(levels) + 1):
        children = [int(pid) for node in levels[level] for pid in node.parameters["children"]]
        assert children == below, "every node of a level has one parent above, in order"
        assert all(1 <= len(n.parameters["children"]) <= fan_out for n in levels[level])
        assert [n.parameters["position"] for n in levels[level]] == list(range(len(levels[level])))
        below = [node.id for node in levels[level]]
    roots = [node for node in nodes if node.parameters["is_root"]]
    assert roots == [nodes[-1]]
    assert len(levels[max(levels)]) == 1
    assert len(levels) == max(1, math.ceil(round(math.log(n, fan_out), 9)))
    (select,) = of(processes, "select_frames")
    for node in nodes:
        assert set(node.parents) == {*map(int, node.parameters["children"]), select.id}


@given(n=st.integers(1, 30), chunk=st.integers(1, 9), fan_out=st.integers(2, 7))
def test_parents_stand_before_children_and_every_parameter_is_valid(n, chunk, fan_out):
    processes = build(n, chunk=chunk, fan_out=fan_out)
    seen = set()
    for process in processes:
        assert seen.issuperset(process.parents)
        assert len(set(process.parents)) == len(process.parents)
        seen.add(process.id)
        checked = validate(process.command, process.parameters)
        assert checked.model_dump(mode="json") == process.parameters
    assert len(seen) == len(processes)


@given(frames=st.lists(st.integers(), max_size=40), size=st.integers(1, 50))
def test_chunks_hold_all_frames_in_order(frames, size):
    parts = chunks(frames, size)
    assert [frame for part in parts for frame in part] == frames
    assert all(len(part) == size for part in parts[:-1])
    assert len(parts) == -(-len(frames) // size)


def test_surroundings_go_to_the_steps_that_ask_for_them():
    processes = build(2, surroundings={"gain_e_per_adu": 1.5, "saturation_adu": 4095.0})
    (extract, _) = of(processes, "extract_flux")
    (reference,) = of(processes, "choose_reference")
    assert extract.parameters["gain_e_per_adu"] == 1.5
    assert reference.parameters["saturation_adu"] == 4095.0
    assert "gain_e_per_adu" not in reference.parameters


def test_what_a_person_chooses_overrules_the_surroundings():
    (extract,) = of(
        build(1, surroundings={"gain_e_per_adu": 1.5}, extract_flux={"gain_e_per_adu": 2.0}),
        "extract_flux",
    )
    assert extract.parameters["gain_e_per_adu"] == 2.0


def test_masters_are_parents_of_what_uses_them():
    calibration = {"bias": "11", "dark": None, "flat": "13"}
    processes = build(2, surroundings={"calibration": calibration})
    for process in processes:
        uses = "calibration" in process.parameters
        assert ({11, 13} <= set(process.parents)) is uses


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dream": {}}, "recipe light_curves has no step 'dream'; its steps: calibrate_align, "),
        ({"master_flat": {}}, "has no step 'master_flat'"),
        (
            {"detect_sources": {"sigma": 3}},
            "step detect_sources has no parameter 'sigma'; it has targets, field, threshold_sigma",
        ),
        ({"detect_sources": {"template": "1"}}, "'template' of step detect_sources follows from"),
        ({"stack_frames": {"is_root": True}}, "'is_root' of step stack_frames follows from"),
        ({"calibrate_align": {"frames": [1]}}, "'frames' of step calibrate_align follows from"),
    ],
)
def test_options_that_no_process_can_have_are_refused(options, text):
    with pytest.raises(GraphError, match=text):
        check_options(LIGHT_CURVES, options)
    with pytest.raises(GraphError, match=text):
        build(3, **options)


@pytest.mark.parametrize("value", [-1.0, "high", None, float("nan")])
def test_a_value_that_does_not_fit_is_refused(value):
    with pytest.raises(InvalidParametersError, match=r"step detect_sources .* threshold_sigma = "):
        build(3, detect_sources={"threshold_sigma": value})


@pytest.mark.parametrize(
    ("frames", "chunk", "fan_out", "text"),
    [
        ([], 1, 2, "no frames to process; register some"),
        ([1, 2, 1], 1, 2, "a frame is there twice"),
        ([1], 0, 2, "chunk size 0 is impossible; give 1 or more"),
        ([1], 1, 1, "fan-out 1 makes no tree; give 2 or more"),
    ],
)
def test_impossible_inputs_are_refused(frames, chunk, fan_out, text):
    with pytest.raises(GraphError, match=text):
        GraphInputs(frames, {}, {}, chunk, fan_out)


def test_a_master_is_one_process():
    (process,) = build(7, MASTER_FLAT, chunk=2, master_flat={"method": "mode"})
    assert process.parameters["frames"] == list(range(1, 8))
    assert process.parameters["method"] == "mode"


def test_stages_that_another_run_has_done_are_parents_and_not_repeated():
    """Worked by hand: two chunks of the first run stay; what is new waits for the take-over."""
    reuse = Reuse(7, {"reference": [11], "align": [12, 13]}, ("reference_frame", "frame"))
    processes = build(4, chunk=2, reuse=reuse)
    adopt, select, stack = processes[:3]
    assert adopt.command == "adopt_measurements"
    assert adopt.parameters == {"source_run": 7, "kinds": ["reference_frame", "frame"]}
    assert set(adopt.parents) == {11, 12, 13}
    assert set(select.parents) == {12, 13, adopt.id}
    assert stack.parameters["children"] == ["12", "13"]
    assert set(stack.parents) == {12, 13, select.id}
    whole = [process.command for process in build(4, chunk=2)]
    assert [process.command for process in processes[1:]] == whole[3:]


def test_one_pass_measures_each_chunk_once_after_the_template():
    template = {"run_id": 3, "image_id": 4}
    processes = build(
        4, LIGHT_CURVES_ONE_PASS, chunk=2, parents=(99,), surroundings={"template": template}
    )
    assert [process.command for process in processes] == [
        "adopt_template", "measure_frames", "measure_frames", "select_frames",
        "relative_photometry", "calibrate_magnitudes", "diagnostics",
    ]  # fmt: skip
    adopt, *chunks_of = processes[:3]
    assert adopt.parents == (99,)
    assert adopt.parameters["template"] == template
    assert all(set(chunk.parents) == {adopt.id} for chunk in chunks_of)


SCIENCE_QUEUES = {"cpu": 11}


def test_light_curves_made_at_another_site_need_the_stacks_there_and_nothing_else():
    """Worked by hand: four chunks, two nodes above them where the frames are, the root away."""
    processes = build(4, fan_out=2, science_queues=SCIENCE_QUEUES)
    stacks = of(processes, "stack_frames")
    assert [(p.parameters["level"], p.queue_id) for p in stacks] == [(1, 1), (1, 1), (2, 11)]
    transfers = of(processes, "transfer")
    assert [p.parameters["source"] for p in transfers] == [str(p.id) for p in stacks[:2]]
    assert [p.parents for p in transfers] == [(p.id,) for p in stacks[:2]]
    root = stacks[2]
    assert root.parameters["children"] == [str(p.id) for p in stacks[:2]]
    assert set(root.parents) >= {p.id for p in (*transfers, *stacks[:2])}
    away = {p.command for p in processes if p.queue_id == 11}
    assert away == {
        "stack_frames", "transfer", "solve_field", "detect_sources", "match_catalogue",
        "relative_photometry", "calibrate_magnitudes", "diagnostics",
    }  # fmt: skip


def test_a_template_of_one_node_is_brought_once_for_all_that_read_it():
    processes = build(3, science_queues=SCIENCE_QUEUES)
    (transfer,) = of(processes, "transfer")
    (stack,) = of(processes, "stack_frames")
    (solve,), (detect,) = of(processes, "solve_field"), of(processes, "detect_sources")
    assert (stack.queue_id, transfer.queue_id) == (1, 11)
    assert transfer.parameters["source"] == str(stack.id)
    assert transfer.id in solve.parents
    assert transfer.id in detect.parents
    assert detect.parameters["template"] == str(stack.id)


def test_one_pass_brings_no_file():
    template = {"run_id": 3, "image_id": 4}
    processes = build(
        4, LIGHT_CURVES_ONE_PASS, surroundings={"template": template}, science_queues=SCIENCE_QUEUES
    )
    assert not of(processes, "transfer")
    assert {p.command for p in processes if p.queue_id == 1} == {
        "adopt_template", "measure_frames", "select_frames",
    }  # fmt: skip


@given(n=st.integers(1, 30), chunk=st.integers(1, 9), fan_out=st.integers(2, 7))
def test_the_site_of_science_changes_nothing_but_where_and_after_what(n, chunk, fan_out):
    here = build(n, chunk=chunk, fan_out=fan_out)
    shared = build(n, chunk=chunk, fan_out=fan_out, science_queues=SCIENCE_QUEUES)
    steps = [p for p in shared if p.command != "transfer"]
    assert [p.command for p in steps] == [p.command for p in here]
    renamed = {str(new.id): str(old.id) for new, old in zip(steps, here, strict=True)}
    for new, old in zip(steps, here, strict=True):
        text = json.dumps(new.parameters)
        for name, plain in renamed.items():
            text = text.replace(f'"{name}"', f'"={plain}"')
        assert json.loads(text.replace('"=', '"')) == old.parameters
    seen = set()
    for process in shared:
        assert seen.issuperset(process.parents)
        seen.add(process.id)


def test_what_an_earlier_run_has_left_is_read_where_it_is():
    reuse = Reuse(7, {"reference": [11], "align": [12, 13]}, ("reference_frame", "frame"))
    processes = build(4, chunk=2, reuse=reuse, science_queues=SCIENCE_QUEUES)
    (adopt,) = of(processes, "adopt_measurements")
    (stack,) = of(processes, "stack_frames")
    assert (adopt.queue_id, stack.queue_id) == (1, 1)
    assert stack.parameters["children"] == ["12", "13"]


@pytest.mark.parametrize("recipe", [LIGHT_CURVES, LIGHT_CURVES_ONE_PASS])
def test_a_gpu_changes_nothing_but_who_works_on_the_pixels_of_the_chunks(recipe):
    surroundings = {"template": {"image_id": 1, "run_id": 1}}
    given = {"surroundings": surroundings if recipe is LIGHT_CURVES_ONE_PASS else None}
    plain = build(5, recipe, chunk=2, **given)
    with_gpu = build(5, recipe, chunk=2, **given, with_gpu=True)
    moved = {p.command for p in with_gpu if p.queue_id == 2}
    chunked = {"calibrate_align", "extract_flux"}
    assert moved == (chunked if recipe is LIGHT_CURVES else {"measure_frames"})
    for one, other in zip(plain, with_gpu, strict=True):
        assert one.parameters == other.parameters
        assert one.parents == other.parents
        assert other.queue_id == (2 if other.command in moved else one.queue_id)
