"""``tianyu explain`` as a person reads it: a tree from the point down to the raw file."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text
from rich.tree import Tree

from tianyu.cli.provenance.comparison import ReferenceSet
from tianyu.cli.provenance.explanation import (
    Explanation,
    FrameOrigin,
    RunOrigin,
    SourceOrigin,
    TemplateOrigin,
)
from tianyu.cli.provenance.files import FileCheck, FileState
from tianyu.cli.provenance.images import ImageOrigin, MasterOrigin
from tianyu.cli.provenance.measurement import Measurement
from tianyu.cli.provenance.processes import Involved
from tianyu.cli.words import clock, duration, number, plural

SHOWN_REFERENCES = 10
"""The heaviest ones; --json has all of them."""

FILE_STYLES = {
    FileState.UNCHANGED: "green",
    FileState.CHANGED: "bold red",
    FileState.MISSING: "bold red",
    FileState.OUT_OF_REACH: "yellow",
    FileState.UNKNOWN: "yellow",
}


def explanation_view(e: Explanation) -> RenderableType:
    """Return the tree; the commands that make the point again are left to be printed whole."""
    tree = Tree(_title(e), guide_style="dim")
    _add_flux(tree, e.measurement)
    _add_comparison(tree, e.comparison)
    _add_frame(tree, e.frame)
    below = _add_masters(tree, e.masters)
    if e.pattern is None:
        below.add(Text("fixed pattern: none was found"))
    else:
        _add_image(below, "fixed pattern", e.pattern)
    _add_source(tree, e.source)
    _add_template(tree, e.template)
    _add_run(tree, e.run)
    _add_processes(tree, e.processes)
    return tree


def _title(e: Explanation) -> Text:
    point = e.measurement.point
    name = e.source.name or f"source {e.source.source}"
    bjd, jd = point["bjd_tdb_mid"], point["jd_utc_mid"]
    time = f"BJD_TDB {bjd:.6f}" if bjd is not None else f"JD_UTC {number(jd, '.6f')}"
    title = Text(f"{name} in {e.frame.measured.name}, {time}", style="bold")
    if point["relative_flux"] is not None:
        error = number(point["relative_flux_error"], ".5f")
        title.append(f": {point['relative_flux']:.5f} ± {error}")
    return title


def _branch(tree: Tree, title: str, said: str = "") -> Tree:
    label = Text(title, style="bold cyan")
    if said:
        label.append(f"  {said}", style="default not bold")
    return tree.add(label)


def _add_flux(tree: Tree, m: Measurement) -> None:
    point, unit = m.point, m.flux_unit
    flux = f"{number(point['flux'], '.1f')} ± {number(point['flux_error'], '.1f')} {unit}"
    branch = _branch(tree, "flux", flux)
    flags = ", ".join(m.flags) or "none"
    branch.add(Text(f"flags: {flags}", style="yellow" if m.flags else ""))
    terms = branch.add(Text("error (1σ)"))
    for name, value, remark in (
        ("source", m.terms.source, _gain_words(m)),
        ("sky", m.terms.sky, ", read-out included"),
        ("of it read-out", m.terms.read_out, "" if m.terms.read_out else " (not known)"),
        ("local background", m.terms.background, ""),
        ("scintillation", m.terms.scintillation, ", expected; in the relative error only"),
    ):
        terms.add(Text(f"{name}: {number(value, '.2f')}{remark}"))
    branch.add(
        Text(
            f"aperture at ({number(m.x_pix)}, {number(m.y_pix)}) of the frame, centroid "
            f"({number(m.x_centroid_pix)}, {number(m.y_centroid_pix)}), peak "
            f"{number(m.peak, '.1f')}"
        )
    )
    branch.add(
        Text(
            f"local background {number(m.background, '.3f')}, rms {number(m.background_rms)} a "
            f"pixel; sky rms at the source {number(m.sky_rms_adu)} ADU"
        )
    )
    if m.ellipse is not None:
        branch.add(Text(m.ellipse.words(point["radius_pix"])))
    radius = branch.add(Text(f"radius {point['radius_pix']:.2f} px: {m.aperture_reason}"))
    for a in m.apertures:
        mark = " ← chosen" if a.is_default else ""
        factor = "fixed" if a.fwhm_factor is None else f"{a.fwhm_factor:g} FWHM"
        scatter = number(None if a.scatter is None else 100 * a.scatter, ".3f")
        radius.add(
            Text(
                f"{a.radius_pix:6.2f} px ({factor}): {number(a.flux, '.1f')} ± "
                f"{number(a.flux_error, '.1f')}, relative {number(a.relative_flux, '.5f')}, "
                f"scatter of the source {scatter} %{mark}"
            )
        )


def _gain_words(m: Measurement) -> str:
    if m.gain is None:
        return " (no gain is known)"
    return f", gain {m.gain.e_per_adu:.3f} e/ADU from {m.gain.origin}"


def _add_comparison(tree: Tree, c: ReferenceSet | None) -> None:
    if c is None:
        _branch(tree, "references", "none: this point was not compared with other stars")
        return
    n_used = sum(r.is_used for r in c.references)
    branch = _branch(tree, "references", f"{c.method}; {c.note}" if c.note else c.method)
    branch.add(
        Text(
            f"zero point {number(c.zero_point, '.2f')}: flux for a relative flux of 1, here in "
            f"this frame; scale to other nights {number(c.night_scale, '.6f')}"
        )
    )
    branch.add(
        Text(
            f"error {number(c.relative_flux_error, '.6f')}: own {number(c.own_error, '.6f')}, of "
            f"the references, the air and the flat {number(c.reference_error, '.6f')}"
        )
    )
    stars = branch.add(Text(f"{plural(len(c.references), 'star')}, {n_used} of them used here"))
    for r in c.references[:SHOWN_REFERENCES]:
        name = f" {r.name}" if r.name else ""
        remark = "" if r.is_used else f" (not used: {', '.join(r.flags) or 'the source itself'})"
        lent = ", lent by a neighbouring bin" if r.is_borrowed else ""
        stars.add(
            Text(
                f"source {r.source}{name}: weight {r.weight:.4g}, {100 * r.share:.1f} %, flux "
                f"{number(r.flux, '.1f')}{lent}{remark}"
            )
        )
    if len(c.references) > SHOWN_REFERENCES:
        stars.add(Text(f"… and {len(c.references) - SHOWN_REFERENCES} lighter ones (--json)"))


def _add_frame(tree: Tree, f: FrameOrigin) -> None:
    m = f.measured
    branch = _branch(tree, "frame", f"{m.name}, image {m.image_id}")
    good = m.is_good
    verdict = "not judged" if good is None else "good" if good else f"rejected: {m.reason}"
    branch.add(Text(f"verdict: {verdict}", style="green" if good else "yellow"))
    branch.add(
        Text(
            f"mid-exposure {clock(m.utc_mid)} UTC, {duration(m.exposure_s)}, airmass "
            f"{number(m.airmass, '.3f')}"
        )
    )
    branch.add(
        Text(
            f"sky {number(m.sky_adu, '.1f')} ADU, rms {number(m.sky_rms_adu)}; "
            f"{m.n_stars} stars, FWHM {number(m.fwhm_pix)} px, elongation {number(m.elongation)}, "
            f"transparency {number(m.transparency)}"
        )
    )
    branch.add(
        Text(
            f"on the reference: shift ({number(m.shift_x_pix, '+.3f')}, "
            f"{number(m.shift_y_pix, '+.3f')}) px, rotation {number(m.rotation_deg, '+.4f')}°, "
            f"scale {number(f.scale, '.6f')}, rms {number(m.residual_pix, '.3f')} px of "
            f"{f.n_matched} stars"
        )
    )
    _add_image(branch, "raw file", f.raw)
    if f.reference is not None:
        _add_image(branch, "reference frame", f.reference)


def _add_image(tree: Tree, title: str, image: ImageOrigin) -> Tree:
    branch = tree.add(Text(f"{title}: {image.name}, image {image.image}"))
    for file in image.files:
        _add_file(branch, file)
    return branch


def _add_file(tree: Tree, file: FileCheck) -> None:
    style = FILE_STYLES[file.state]
    line = Text(f"{file.path} (site {file.site}, {file.size_bytes} bytes)", overflow="fold")
    branch = tree.add(line)
    if file.sha256 is not None:
        branch.add(Text(f"SHA-256 {file.sha256}"))
    branch.add(Text(f"{file.state.value}: {file.detail}", style=style))


def _add_masters(tree: Tree, masters: Mapping[str, MasterOrigin | None]) -> Tree:
    branch = _branch(tree, "masters")
    for kind in ("bias", "dark", "flat"):
        master = masters.get(kind)
        if master is None:
            branch.add(Text(f"{kind}: none, skipped", style="yellow"))
            continue
        product = master.product
        below = _add_image(
            branch, f"{kind} (run {product.run}, process {product.process})", product
        )
        if product.facts:
            below.add(Text(_pairs(product.facts), overflow="fold"))
        below.add(Text(f"of {plural(len(master.frames), 'frame')}: {', '.join(master.frames)}"))
        if master.calibrated_with:
            below.add(Text(f"calibrated with {_pairs(master.calibrated_with)}"))
    return branch


def _add_source(tree: Tree, s: SourceOrigin) -> None:
    kind = "forced: placed, not detected" if s.is_forced else "detected"
    branch = _branch(tree, "source", f"{s.source}, {kind}, first by process {s.found_by}")
    if s.template is not None:
        t = s.template
        branch.add(
            Text(
                f"at ({t['x']:.3f}, {t['y']:.3f}) of the reference frame, RA "
                f"{number(t['ra_deg'], '.6f')}, Dec {number(t['dec_deg'], '+.6f')}; SNR "
                f"{number(t['snr'], '.1f')}, FWHM {number(t['fwhm_pix'])} px, nearest neighbour "
                f"{number(t['neighbour_pix'], '.1f')} px"
            )
        )
    if not s.catalogue:
        branch.add(Text("catalogue: no match is stored", style="dim"))
    for match in s.catalogue:
        variable = {None: "", True: ", variable", False: ", not variable"}[match["is_variable"]]
        branch.add(
            Text(
                f"{match['catalogue']} {match['catalogue_id']}: {match['separation_arcsec']:.2f}″ "
                f"away, {number(match['magnitude'])} mag{variable}"
            )
        )


def _add_template(tree: Tree, t: TemplateOrigin | None) -> None:
    if t is None:
        _branch(tree, "template", "none yet")
        return
    whose = "" if t.is_of_this_run else f" of run {t.product.run}"
    said = f"{t.n_frames} good frames, {duration(t.exposure_s)} in all, level {t.n_levels}{whose}"
    branch = _branch(tree, "template", said)
    for file in t.product.files:
        _add_file(branch, file)


def _add_run(tree: Tree, r: RunOrigin) -> None:
    current = "current" if r.is_current else "not the current one"
    said = f"{r.run} of {r.observation}, recipe {r.recipe} {r.recipe_version}, {current}"
    branch = _branch(tree, "run", said)
    branch.add(Text(f"published {clock(r.published)} UTC by tianyu {r.code_version}"))
    branch.add(Text(f"key {r.run_key}"))
    parameters = branch.add(Text("parameters"))
    for name, value in _flat(r.parameters):
        parameters.add(Text(f"{name}: {value}", overflow="fold"))
    for subject, note in r.notes.items():
        for line in [note] if isinstance(note, str) else note:
            branch.add(Text(f"{subject.replace('_', ' ')}: {line}", overflow="fold"))


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found += _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for i, item in enumerate(value):
                inner = ", ".join(f"{k} {v}" for k, v in _flat(item))
                found.append((f"{prefix}{name}[{i}]", inner))
        elif value not in (None, {}, []):
            found.append((f"{prefix}{name}", value))
    return found


def _add_processes(tree: Tree, processes: Sequence[Involved]) -> None:
    branch = _branch(tree, "processes", str(len(processes)))
    software: dict[str, list[str]] = {}
    for p in processes:
        versions = "not recorded" if p.software is None else _pairs(p.software)
        software.setdefault(versions, []).append(p.process)
        branch.add(
            Text(
                f"{p.process} {p.step} (run {p.run}): {p.state}, attempt {p.attempt}, "
                f"{p.worker or 'unknown worker'}, {clock(p.finished)} UTC, {duration(p.wall_s)}"
            )
        )
    for versions, whose in software.items():
        some = "" if len(software) == 1 else f" of {plural(len(whose), 'process', 'processes')}"
        branch.add(Text(f"software{some}: {versions}", overflow="fold"))


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
