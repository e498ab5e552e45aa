"""What was found of a transit, as a person reads it."""

from collections.abc import Callable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tianyu.cli.analysis.event import EventAnalysis
from tianyu.cli.console import new_table
from tianyu.cli.words import number, percent
from tianyu.pipelines.science.quartic import QuarticTransit
from tianyu.pipelines.science.sampling import Estimate, Posterior
from tianyu.pipelines.science.transitfit import TransitFit


def event_view(analysis: EventAnalysis, expected_mid_time: float | None = None) -> RenderableType:
    """Return tables of both models."""
    scale = "BJD_TDB" if analysis.curve.has_bjd else "JD_UTC"
    parts: list[RenderableType] = [
        Text(f"{analysis.curve.how}: {len(analysis.curve)} good points", style="bold"),
        _transit_table(analysis, scale, expected_mid_time),
    ]
    if analysis.quartic is not None:
        parts.append(_quartic_table(analysis.quartic, scale, expected_mid_time))
    return Group(*parts)


def _pm(value: Estimate, digits: int, factor: float = 1.0) -> str:
    return f"{factor * value.value:.{digits}f} ± {factor * value.error:.{digits}f}"


def _transit_table(analysis: EventAnalysis, scale: str, expected: float | None) -> Table:
    table = new_table("Limb-darkened disc on a straight path, quadratic trend")
    table.add_column("quantity")
    for of in analysis.fitted:
        table.add_column(of.name, justify="right")
    rows: list[tuple[str, Callable[[TransitFit], str]]] = [
        (f"mid-time, {scale}", lambda f: _pm(f.mid_time, 5)),
        (
            "its error × β (red noise)",
            lambda f: f"{f.mid_time.error * f.red_noise_factor:.5f} (β {f.red_noise_factor:.2f})",
        ),
        ("(Rp/R*)², %", lambda f: _pm(f.area_ratio, 3, 100.0)),
        ("depth at mid-time, %", lambda f: _pm(f.depth, 3, 100.0)),
        ("Rp/R*", lambda f: _pm(f.radius_ratio, 4)),
        ("impact parameter", lambda f: _pm(f.impact, 2)),
        ("T14, h", lambda f: _pm(f.duration, 3, 24.0)),
        ("u1, u2", lambda f: f"{_pm(f.u1, 2)}, {_pm(f.u2, 2)}"),
        ("residual scatter", lambda f: percent(f.residual_scatter)),
        ("points used", lambda f: f"{int(f.used.sum())} of {f.used.size}"),
        ("sampling", lambda f: _sampling(f.posterior)),
    ]
    if expected is not None:
        rows.insert(1, ("minus expected, d", lambda f: f"{f.mid_time.value - expected:+.5f}"))
    for name, show in rows:
        table.add_row(name, *(show(of.fit) for of in analysis.fitted))
    return table


def _quartic_table(quartic: QuarticTransit, scale: str, expected: float | None) -> Table:
    table = new_table("Even quartic in magnitudes, quadratic trend (appendix C)")
    table.add_column("quantity")
    table.add_column("tianyu", justify="right")
    rows = [
        (f"mid-time, {scale}", _pm(quartic.mid_time, 5)),
        ("depth, %", _pm(quartic.depth, 3, 100.0)),
        ("duration, h", _pm(quartic.duration, 3, 24.0)),
        ("white noise σ, mmag", _pm(quartic.sigma_mag, 2, 1000.0)),
        ("ln BF (posterior-averaged likelihoods)", number(quartic.log_bayes_factor, ".2f")),
        ("ΔBIC", number(quartic.delta_bic, ".2f")),
        ("points used", f"{int(quartic.used.sum())} of {quartic.used.size}"),
        ("sampling", _sampling(quartic.posterior)),
        ("sampling of the baseline", _sampling(quartic.baseline)),
    ]
    if expected is not None:
        rows.insert(1, ("minus expected, d", f"{quartic.mid_time.value - expected:+.5f}"))
    for row in rows:
        table.add_row(*row)
    return table


def _sampling(posterior: Posterior) -> str:
    words = "converged" if posterior.problem is None else f"NOT CONVERGED: {posterior.problem}"
    return (
        f"{words}; {posterior.n_step} steps, τ {posterior.autocorrelation_steps:.0f}, acceptance "
        f"{posterior.acceptance:.2f}"
    )
