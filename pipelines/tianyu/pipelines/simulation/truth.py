"""The answers to a simulated night, and the file that keeps them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
from pydantic import TypeAdapter

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.simulation.conditions import FrameConditions
from tianyu.pipelines.simulation.plan import NightPlan
from tianyu.pipelines.simulation.scene import Scene, Stars
from tianyu.pipelines.simulation.signals import Eclipse, Pulsation, Signal, Transit

TRUTH_FILE = "truth.json"

_Kind = TypeVar("_Kind", Transit, Pulsation, Eclipse)


@dataclass(frozen=True)
class _StarColumns:
    """The columns of `Stars` as lists."""

    x: list[float]
    y: list[float]
    mag: list[float]
    flux_e: list[float]
    ra_deg: list[float]
    dec_deg: list[float]


@dataclass(frozen=True)
class _Document:
    """What the file holds."""

    plan: NightPlan
    stars: _StarColumns
    frames: tuple[FrameConditions, ...]
    signals: tuple[Signal, ...]


_DOCUMENT = TypeAdapter(_Document)


@dataclass(frozen=True, eq=False)
class NightTruth:
    """All that went into a night.

    Attributes
    ----------
    plan : NightPlan
        The night's plan; with it every frame can be simulated again.
    stars : Stars
        Positions, magnitudes and fluxes of the scene.
    frames : tuple of FrameConditions
        One per light, in order of time.
    signals : tuple of Transit, Pulsation or Eclipse
        Each with the index of its star.
    """

    plan: NightPlan
    stars: Stars
    frames: tuple[FrameConditions, ...]
    signals: tuple[Signal, ...]

    @classmethod
    def of(cls, scene: Scene) -> Self:
        """Return the truth of a scene."""
        return cls(scene.plan, scene.stars, scene.frames, scene.signals)

    @property
    def transit(self) -> Transit:
        """The injected transit."""
        return self._signal(Transit)

    @property
    def pulsation(self) -> Pulsation:
        """The injected pulsation."""
        return self._signal(Pulsation)

    @property
    def eclipse(self) -> Eclipse:
        """The injected eclipse."""
        return self._signal(Eclipse)

    def transform(self, index: int) -> AffineTransform:
        """Return the map from the scene's pixels to those of the light ``index`` (from 0)."""
        return self.frames[index].transform(self.plan.centre)

    def positions(self, index: int) -> tuple[FloatArray, FloatArray]:
        """Pixels (x, y) of all stars in the light ``index`` (from 0), on or off the detector."""
        return self.transform(index).apply(self.stars.x, self.stars.y)

    def write(self, folder: Path) -> Path:
        """Write ``truth.json`` into a folder and return its path."""
        columns = {name: column.tolist() for name, column in vars(self.stars).items()}
        document = _Document(self.plan, _StarColumns(**columns), self.frames, self.signals)
        path = folder / TRUTH_FILE
        path.write_bytes(_DOCUMENT.dump_json(document, indent=1))
        return path

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote.

        Parameters
        ----------
        path : Path
            The file, or the folder that holds it.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        pydantic.ValidationError
            If the file is not the truth of a night.
        """
        file = path / TRUTH_FILE if path.is_dir() else path
        document = _DOCUMENT.validate_json(file.read_bytes())
        columns = {name: np.array(column) for name, column in vars(document.stars).items()}
        return cls(document.plan, Stars(**columns), document.frames, document.signals)

    def _signal(self, kind: type[_Kind]) -> _Kind:
        """Return the only signal of a kind."""
        for signal in self.signals:
            if isinstance(signal, kind):
                return signal
        raise LookupError(f"the plan of this night has no {kind.__name__.lower()}")
