"""Reading the small languages of options."""

import json
import re
from typing import Any

from tianyu.pipelines.science.timegroups import TimeScale
from tianyu.publisher.recipes import STACKS
from tianyu.publisher.registering import TargetRequest
from tianyu.schema.errors import ConfigurationError


def parse_options(texts: list[str]) -> dict[str, dict[str, Any]]:
    """Read parameters of steps.

    Raises
    ------
    ConfigurationError
        If one is not of the form STEP.NAME=VALUE.

    Examples
    --------
    >>> parse_options(["detect_sources.threshold_sigma=4", "relative_photometry.method=groups"])
    {'detect_sources': {'threshold_sigma': 4}, 'relative_photometry': {'method': 'groups'}}
    """
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        match = re.fullmatch(r"(\w+)\.(\w+)=(.+)", text)
        if match is None:
            raise ConfigurationError(f"--set {text!r} is not of the form STEP.NAME=VALUE")
        step, name, value = match.groups()
        try:
            found.setdefault(step, {})[name] = json.loads(value)
        except json.JSONDecodeError:
            found.setdefault(step, {})[name] = value
    return found


def with_stacks(
    options: dict[str, dict[str, Any]], time_scales: str | None
) -> dict[str, dict[str, Any]]:
    """Add to options of steps that light curves are wanted on stacks, ``5,25,10min``.

    Raises
    ------
    InvalidParametersError
        If one is no time scale.

    Examples
    --------
    >>> with_stacks({}, "5,10min")
    {'extract_stack_flux': {'time_scales': ['5 frames', '10 min']}}
    """
    if time_scales is None:
        return options
    names = [TimeScale.parse(text).name for text in time_scales.split(",")]
    return options | {STACKS: options.get(STACKS, {}) | {"time_scales": names}}


_UNITS_S = {"": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Read a time such as ``90``, ``90s``, ``30min`` or ``1.5h``; return seconds.

    Raises
    ------
    ConfigurationError
        If it is of another form.

    Examples
    --------
    >>> parse_duration("30min"), parse_duration("1.5 h"), parse_duration("20")
    (1800.0, 5400.0, 20.0)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|)\s*", text)
    if match is None:
        raise ConfigurationError(f"{text!r} is no time; write 90s, 30min or 1.5h")
    return float(match[1]) * _UNITS_S[match[2]]


def parse_target_pixel(text: str) -> tuple[float, float, str]:
    """Read ``X,Y@FRAME``.

    Raises
    ------
    ConfigurationError
        If it is of another form.

    Examples
    --------
    >>> parse_target_pixel("328.5,337.6@frame_0001")
    (328.5, 337.6, 'frame_0001')
    """
    match = re.fullmatch(r"\s*([-+\d.eE]+)\s*,\s*([-+\d.eE]+)\s*@\s*(\S.*?)\s*", text)
    try:
        if match is not None:
            return float(match[1]), float(match[2]), match[3]
    except ValueError:
        match = None
    raise ConfigurationError(
        f"--target-pixel {text!r} is not of the form X,Y@FRAME, such as 328.5,337.6@night_0042"
    )


def target_request(
    name: str | None, ra: float | None, dec: float | None, pixel: str | None
) -> TargetRequest | None:
    """Build what is asked of a target from its options.

    Raises
    ------
    ConfigurationError
        If a target is described but not named, or the pixel cannot be read.
    """
    if name is None:
        if ra is not None or dec is not None or pixel is not None:
            raise ConfigurationError(
                "--ra, --dec and --target-pixel describe a target: add --target"
            )
        return None
    if pixel is None:
        return TargetRequest(name, ra, dec)
    x, y, frame = parse_target_pixel(pixel)
    return TargetRequest(name, ra, dec, frame, x, y)
