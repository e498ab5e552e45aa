"""The goals, what was measured beside them, and whether it has become worse."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STORED = Path(__file__).with_name("ratios.json")
TOLERANCE = 0.25
"""A ratio that is worse than the stored one by more than this is reported. Two runs on a busy
machine differ by a tenth; what was ever lost by mistake was a factor of two."""


@dataclass(frozen=True)
class Goal:
    """One line of the table of goals.

    Attributes
    ----------
    limit : float or None
        None: measured, no goal.
    more_is_better : bool
        The limit is the least, else the most.
    unit : str
        Ratios are ``×``: only they travel to another machine, and only they are held against
        the stored ones.
    """

    name: str
    text: str
    limit: float | None
    more_is_better: bool = True
    unit: str = "×"

    @property
    def travels(self) -> bool:
        """Whether its value means the same on another machine."""
        return self.unit == "×"

    def is_met(self, value: float) -> bool | None:
        """Tell whether a value reaches the goal; None where there is none."""
        if self.limit is None:
            return None
        return value >= self.limit if self.more_is_better else value <= self.limit

    def has_regressed(self, value: float, stored: float) -> bool:
        """Tell whether a value is worse than the stored one by more than the tolerance."""
        if not self.travels:
            return False
        if self.more_is_better:
            return value < stored / (1.0 + TOLERANCE)
        return value > stored * (1.0 + TOLERANCE)


def _least(name: str, text: str, limit: float | None, unit: str = "×") -> Goal:
    return Goal(name, text, limit, True, unit)


def _most(name: str, text: str, limit: float | None, unit: str = "×") -> Goal:
    return Goal(name, text, limit, False, unit)


GOALS = (
    _least("chain_vs_astropy_sep", "chain, two passes, vs astropy + SEP with files", 12.0),
    _least("chain_vs_astropy_sep_500", "… of a night of 500 frames (computed)", 12.0),
    _least("one_pass_vs_astropy_sep", "chain, one pass, vs astropy + SEP with files", None),
    _least("chain_vs_photutils", "chain, two passes, vs photutils", 60.0),
    _least("chain_vs_photutils_500", "… of a night of 500 frames (computed)", 60.0),
    _most("chain_vs_reading", "chain without commits vs reading the bytes warm", 18.0),
    _most("chain_vs_reading_500", "… of a night of 500 frames (computed)", 18.0),
    _most("one_pass_vs_reading", "chain, one pass, without commits vs reading", None),
    _most("bytes_moved", "file bytes moved vs raw size, two passes", None),
    _most("bytes_moved_500", "… of 500 frames (computed), misjudged frames apart", 2.1),
    _most("bytes_moved_one_pass", "file bytes moved vs raw size, one pass", None),
    _least("two_consumers", "1 → 2 consumers, a core for each, the steps that are shared out", 1.8),
    _least("two_consumers_each", "… of processes after the first of each child", None),
    _least("two_consumers_night", "… of the whole night", None),
    _least("two_consumers_free", "… where one alone reads ahead on the other core", None),
    _least("align_vs_sep", "align incl. star count and FWHM vs SEP 5σ + eq. 2", 8.0),
    _most("align_error_px", "error of the alignment, rms per axis", 0.005, "px"),
    _least("rows_vs_executemany", "rows stored vs executemany", 2.0),
    _most("points_of_one_star_ms", "999 fluxes of one star back", 6.0, "ms"),
    _most("light_curve_of_one_star_ms", "… with times, verdicts and magnitudes (view)", None, "ms"),
    _most("relative_end_to_end_s", "relative photometry of 900 × 999 with the database", 4.0, "s"),
    _most("relative_arithmetic_s", "… its arithmetic", 0.1, "s"),
    _most("overhead_embedded_ms", "process overhead, SQLite", 1.0, "ms"),
    _most("overhead_fan_out_ms", "process overhead, MariaDB + RabbitMQ, fan-out", 2.5, "ms"),
    _most("overhead_chain_ms", "process overhead, MariaDB + RabbitMQ, serial chain", 5.0, "ms"),
    _most("poll_million_ms", "a manager's poll with 10⁶ waiting processes", 5.0, "ms"),
)
BY_NAME = {goal.name: goal for goal in GOALS}


@dataclass(frozen=True)
class Measured:
    """A value with the values of all rounds, of which it is the median."""

    value: float
    rounds: tuple[float, ...]
    wall_value: float | None = None
    """The same ratio of times on the clock, where the value is of processor times."""

    @classmethod
    def of(cls, rounds: Sequence[float], wall: Sequence[float] = ()) -> "Measured":
        """Take the median of the rounds."""
        on_clock = statistics.median(wall) if wall else None
        return cls(statistics.median(rounds), tuple(rounds), on_clock)


def as_json(measured: Mapping[str, Measured]) -> dict[str, dict[str, Any]]:
    """Return the ratios as they are written."""
    return {
        goal.name: {
            "value": measured[goal.name].value,
            "goal": goal.limit,
            "met": goal.is_met(measured[goal.name].value),
            "unit": goal.unit,
            "rounds": list(measured[goal.name].rounds),
            "wall_value": measured[goal.name].wall_value,
        }
        for goal in GOALS
        if goal.name in measured
    }


def regressions(measured: Mapping[str, Measured], kind: str) -> list[str]:
    """Return in words what is worse than the stored ratios of a kind of run."""
    stored = _read_stored().get(kind, {})
    return [
        f"{name}: {measured[name].value:.3g} against {value:.3g} stored"
        for name, value in stored.items()
        if name in measured
        and name in BY_NAME
        and BY_NAME[name].has_regressed(measured[name].value, value)
    ]


def store(measured: Mapping[str, Measured], kind: str) -> None:
    """Renew the stored ratios of a kind of run; what was not measured stays."""
    stored = _read_stored()
    new = {n: float(f"{m.value:.4g}") for n, m in measured.items() if BY_NAME[n].travels}
    stored[kind] = stored.get(kind, {}) | new
    STORED.write_text(json.dumps(stored, indent=2, sort_keys=True) + "\n")


def _read_stored() -> dict[str, dict[str, float]]:
    if not STORED.is_file():
        return {}
    stored: dict[str, dict[str, float]] = json.loads(STORED.read_text())
    return stored
