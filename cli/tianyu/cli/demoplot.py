"""The picture at the end of the demo: each injected signal under its measured light curve."""

from collections.abc import Sequence
from pathlib import Path

from tianyu.cli.recovery import StarCurve

WIDTH_INCHES = 9.0
PANEL_INCHES = 2.7


def plot_recovered(curves: Sequence[StarCurve], path: Path) -> None:
    """Draw measured points and injected models, one panel per signal.

    Parameters
    ----------
    curves : sequence of StarCurve
    path : Path
        Where the picture goes; its ending decides the format.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

    figure = Figure(
        figsize=(WIDTH_INCHES, PANEL_INCHES * len(curves)), dpi=110, layout="constrained"
    )
    panels = figure.subplots(len(curves), 1, squeeze=False, sharex=True)[:, 0]
    start = int(min(curve.time.min() for curve in curves))
    for panel, curve in zip(panels, curves, strict=True):
        good = curve.is_good.astype(bool)
        panel.errorbar(
            curve.time[good] - start, curve.flux[good], curve.error[good],
            fmt="o", ms=3.5, lw=1, color="C0", label="measured",
        )  # fmt: skip
        panel.plot(
            curve.time[~good] - start, curve.flux[~good], "x", color="0.6", label="rejected frames"
        )
        # The measured curve is scaled to a median of 1, the injected one to its quiet level.
        scale = _scale(curve)
        panel.plot(
            curve.model_time - start, scale * curve.model_flux, "C3-", lw=1.5, label="injected"
        )
        panel.set(title=curve.name, ylabel="relative flux")
        panel.grid(visible=True, alpha=0.2)
    panels[0].legend(loc="best", fontsize="small")
    panels[-1].set_xlabel(f"BJD_TDB − {start}")
    figure.savefig(path)


def _scale(curve: StarCurve) -> float:
    import numpy as np  # noqa: PLC0415 - beside the plot's own late imports

    good = curve.is_good.astype(bool)
    model = np.interp(curve.time[good], curve.model_time, curve.model_flux)
    return float(np.median(curve.flux[good] / model))
