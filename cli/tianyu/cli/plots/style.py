"""How pictures look, and writing them to files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from tianyu.schema.errors import ConfigurationError

# Never a window: pictures are made on machines without a screen.
mpl.use("Agg")

INK = "#1b2a41"
"""Text, axes and binned points."""
POINT = "#3f7cac"
"""Measured points."""
REJECTED = "#a9adb3"
"""What was measured and not used."""
ACCENT = "#c1553b"
FORMATS = (".png", ".pdf", ".svg")

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.titlesize": 10.0,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "grid.color": "#e3e6ea",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.dpi": 160,
    "svg.fonttype": "none",
}


@contextmanager
def style() -> Iterator[None]:
    """Apply the style of the program while a figure is made."""
    with mpl.rc_context(_STYLE):
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the file's ending names.

    Raises
    ------
    ConfigurationError
        If the ending is not known, or the file cannot be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigurationError(
            f"cannot draw {path.name}: the ending names the format, one of {', '.join(FORMATS)}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with style():
            figure.savefig(path)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror or error}") from error
