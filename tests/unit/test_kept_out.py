"""Light of single frames kept out of stacks: remembered with the stack, found again the same."""

import numpy as np
import pytest

from tianyu.pipelines.kept_out import NOTHING, KeptOut
from tianyu.pipelines.measuring import MeasuredFrame, stars_of
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.sky import measure_sky
from tianyu.pipelines.science.stack import Canvas, PartialStack
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.simulation import MoffatPsf, render_stars
from tianyu.pipelines.stacking import add_frame, alignment_of

SHAPE = (160, 200)
RAY = (slice(90, 92), 70)
"""Pixels of a ray between the stars."""


def frame(seed: int, *, hit: bool) -> MeasuredFrame:
    rng = np.random.default_rng(seed)
    row, column = (axis.ravel() * 30.0 + 25.3 for axis in np.mgrid[:4, :5])
    stars = render_stars(SHAPE, column, row, np.full(20, 2e4), MoffatPsf(3.5))
    pixels = rng.poisson(stars + 400.0).astype(np.float32)
    pixels[RAY] += 1500.0 if hit else 0.0
    clear = np.zeros(SHAPE, np.uint8)
    sky = measure_sky(pixels, clear, box_pix=32)
    return MeasuredFrame((pixels - sky.image()).astype(np.float32), clear, sky)


@pytest.mark.parametrize(
    "kept_out", [NOTHING, KeptOut(trails=True), KeptOut(cosmic_ray_gain=1.5), KeptOut(True, 2.0)]
)
def test_a_stack_remembers_what_it_left_out(kept_out: KeptOut) -> None:
    assert KeptOut.from_cards(kept_out.cards()) == kept_out
    assert KeptOut.from_cards({"without_trails": True}) == KeptOut(trails=True)
    assert KeptOut.from_cards({}) == NOTHING


def test_a_ray_is_left_out_of_the_stack_and_stars_are_not() -> None:
    kept_out = KeptOut(cosmic_ray_gain=1.0)
    frames = [frame(seed, hit=seed == 3) for seed in range(8)]
    marked = [kept_out.mark(one, stars_of(one)) for one in frames]
    assert (marked[3].mask[RAY] == MaskBit.COSMIC_RAY).all()
    assert sum(np.count_nonzero(one.mask) for one in marked) <= 12, "and hardly anything else"
    means = []
    for these in (frames, marked):
        stack = PartialStack.empty(Canvas(0, 0, SHAPE[1], SHAPE[0]))
        for one in these:
            add_frame(stack, one, alignment_of(AffineTransform.identity(), SHAPE))
        means.append(stack.mean())
    assert np.all(means[0][RAY] > 150.0), "an eighth of the ray"
    assert np.all(np.abs(means[1][RAY]) < 40.0)
    assert np.all(marked[3].mask[24:28, 24:28] == 0)


def test_a_frame_that_is_taken_out_again_leaves_nothing_behind() -> None:
    kept_out = KeptOut(trails=True, cosmic_ray_gain=1.0)
    stack = PartialStack.empty(Canvas(0, 0, SHAPE[1], SHAPE[0]))
    for sign in (1, -1):
        one = frame(3, hit=True)
        marked = KeptOut.from_cards(kept_out.cards()).mark(one, stars_of(one))
        add_frame(stack, marked, alignment_of(AffineTransform.identity(), SHAPE), sign=sign)
    assert not stack.total.any()
    assert not stack.count.any()
