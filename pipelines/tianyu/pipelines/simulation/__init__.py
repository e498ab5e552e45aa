"""A believable night of survey photometry with known answers.

>>> plan = NightPlan.small()
>>> frame = simulate_frame(plan, 0)
>>> frame.raw.shape
(256, 256)
"""

from tianyu.pipelines.simulation.conditions import FrameConditions
from tianyu.pipelines.simulation.detector import Detector, make_detector, read_out
from tianyu.pipelines.simulation.night import night_frames, simulate_night, write_frame
from tianyu.pipelines.simulation.plan import (
    Camera,
    Field,
    FlatKind,
    FrameKind,
    NightPlan,
    SignalPlan,
    Site,
    Tracking,
    TransitPlan,
    Weather,
)
from tianyu.pipelines.simulation.psf import MoffatPsf, render_stars
from tianyu.pipelines.simulation.render import (
    FrameTruth,
    SimulatedFrame,
    render_frame,
    simulate,
    simulate_frame,
)
from tianyu.pipelines.simulation.scene import Scene, Stars, build_scene
from tianyu.pipelines.simulation.signals import Eclipse, Pulsation, Signal, Transit
from tianyu.pipelines.simulation.truth import NightTruth

__all__ = [
    "Camera",
    "Detector",
    "Eclipse",
    "Field",
    "FlatKind",
    "FrameConditions",
    "FrameKind",
    "FrameTruth",
    "MoffatPsf",
    "NightPlan",
    "NightTruth",
    "Pulsation",
    "Scene",
    "Signal",
    "SignalPlan",
    "SimulatedFrame",
    "Site",
    "Stars",
    "Tracking",
    "Transit",
    "TransitPlan",
    "Weather",
    "build_scene",
    "make_detector",
    "night_frames",
    "read_out",
    "render_frame",
    "render_stars",
    "simulate",
    "simulate_frame",
    "simulate_night",
    "write_frame",
]
