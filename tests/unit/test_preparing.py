"""Idle children load what the frames of a night will take, and drop it for real work."""

import multiprocessing

import pytest

from tianyu.consumer import preparing
from tianyu.pipelines.kernels import compiled_kernels, kernel_folder
from tianyu.pipelines.rehearsal import rehearse
from tianyu.pipelines.science.kernels import frames, light, starpairs
from tianyu.schema.transitions.claim import Claim


def claim_of(command, n_frames):
    parameters = {"frames": list(range(n_frames))}
    return Claim(1, 1, command, parameters, 1, "token")


@pytest.mark.parametrize(
    ("command", "n_frames", "expected"),
    [
        ("choose_reference", 500, True),
        ("choose_reference", 10, False),
        ("calibrate_align", 64, False),
        ("transfer", 0, False),
    ],
)
def test_a_long_night_is_seen_coming(command, n_frames, expected):
    assert preparing.comes_before_frames(claim_of(command, n_frames)) is expected


def test_a_claim_in_the_pipe_comes_first(monkeypatch):
    monkeypatch.setattr(preparing, "find_step", lambda name: pytest.fail(f"imported {name}"))
    ours, theirs = multiprocessing.Pipe()
    ours.send("a claim")
    preparing.prepare(theirs)
    assert theirs.recv() == "a claim"


def test_trouble_is_left_to_the_process_that_meets_it(monkeypatch, caplog):
    def broken(name):
        raise ImportError(f"{name} is broken")

    monkeypatch.setattr(preparing, "find_step", broken)
    _consumer, child = multiprocessing.Pipe()
    preparing.prepare(child)
    assert "calibrate_align is broken" in caplog.text


@pytest.mark.skipif(not compiled_kernels(), reason="the reference functions are asked for")
def test_a_rehearsal_measures_a_frame_in_both_passes():
    if not any(kernel_folder().rglob("*.nbc")):
        pytest.skip("no kernel has been compiled yet")
    pieces = list(rehearse())
    assert len(pieces) == 5
    assert frames.calibrate_and_measure.signatures
    assert starpairs.fit_clipped.signatures
    assert light.light_of_frame.signatures
