"""Relative photometry of a whole run: one choice of references, every aperture compared with it."""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from tianyu.pipelines.cube import FluxCube
from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray
from tianyu.pipelines.science.bins import Groups, group_sources
from tianyu.pipelines.science.candidates import (
    ENSEMBLE_RULES,
    CandidateRules,
    Candidates,
    select_candidates,
)
from tianyu.pipelines.science.ensemble import apply_ensemble
from tianyu.pipelines.science.groups import ReferenceStars, choose_references
from tianyu.pipelines.science.members import Ensemble, choose_ensemble
from tianyu.pipelines.science.relative import RelativeFlux, compare_with_groups
from tianyu.pipelines.science.surface import PLAIN, Arithmetic

FEWEST_CANDIDATES = 3
"""A reference is compared with the others: with two, each would only mirror the other."""

LENIENT_RULES = CandidateRules(max_missing_fraction=0.5, isolation_quantile=0.0, allow_blended=True)
"""For fields with hardly a star: any unsaturated star is better than no comparison."""


class Method(StrEnum):
    """How stars are compared."""

    GROUPS = "groups"
    """Pruned groups of similar place and brightness, as published."""
    ENSEMBLE = "ensemble"
    """All candidates, weighted by their noise, with a zero-point surface."""


@dataclass(frozen=True)
class GroupRecord:
    """One reference group as it is stored."""

    position_bin: int
    flux_bin: int
    members: IntArray
    references: IntArray
    weights: FloatArray
    is_borrowed: BoolArray
    snr: float
    note: str | None
    surface_order: int | None = None


@dataclass(frozen=True)
class Comparison:
    """Light curves of every aperture, and who was compared with whom.

    Attributes
    ----------
    curves : list of RelativeFlux
        One per aperture.
    candidates : Candidates
    groups : list of GroupRecord
        Indices in them count the sources of the cube.
    group_of : ndarray of int, shape (n_source,)
        The same in every aperture; None where each aperture is a group of its own.
    """

    curves: list[RelativeFlux]
    candidates: Candidates
    groups: list[GroupRecord]
    group_of: IntArray | None


@dataclass(frozen=True)
class KnownStars:
    """What a catalogue knows of the sources of a cube.

    Attributes
    ----------
    is_variable : ndarray of bool, shape (n_source,)
    distance_1, distance_2 : ndarray, shape (n_source,)
        To the nearest and second nearest catalogue star, arcseconds; NaN where there is none.
    """

    is_variable: BoolArray
    distance_1: FloatArray
    distance_2: FloatArray


def choose_candidates(
    cube: FluxCube, aperture: int, method: Method, known: KnownStars | None = None
) -> tuple[Candidates, str | None]:
    """Choose reference candidates in one aperture; lenient where the field is poor.

    Returns
    -------
    (Candidates, str or None)
        And what had to be loosened, in words.
    """
    strict = CandidateRules() if method is Method.GROUPS else ENSEMBLE_RULES
    candidates = _candidates(cube, aperture, strict, known)
    if np.count_nonzero(candidates.is_candidate) >= FEWEST_CANDIDATES:
        return candidates, None
    found = int(np.count_nonzero(candidates.is_candidate))
    candidates = _candidates(cube, aperture, LENIENT_RULES, known)
    return candidates, (
        f"only {found} stars met the rules for references; blended and often missing ones "
        f"were admitted, which gives {int(np.count_nonzero(candidates.is_candidate))}"
    )


def compare(
    cube: FluxCube,
    candidates: Candidates,
    method: Method,
    *,
    onto: FluxCube | None = None,
    medians: Arithmetic = PLAIN,
) -> Comparison:
    """Compare every source in every aperture with its references.

    Parameters
    ----------
    cube : FluxCube
        From which the references are chosen.
    candidates : Candidates
        At least :data:`FEWEST_CANDIDATES`.
    method : Method
    onto : FluxCube, optional
        What is compared with them, such as stacks of the same sources in the same apertures;
        `cube` by default.
    medians : Arithmetic, optional
    """
    # Sums of floats depend on their order. Ids tell in which order sources were found, over all
    # runs of the sky; where they stand on the template does not depend on what was done before.
    order = np.lexsort((cube.source_id, cube.y, cube.x))
    placed = _taken(cube, order)
    measured = placed if onto is None else _taken(onto, order)
    by_place = replace(
        candidates,
        is_candidate=candidates.is_candidate[order],
        flux=candidates.flux[order],
        flags=candidates.flags[order],
        mean_flux=candidates.mean_flux[order],
    )
    if method is Method.GROUPS:
        comparison = _compare_groups(placed, by_place, measured, medians)
    else:
        comparison = _compare_ensemble(placed, by_place, measured, medians)
    return _put_back(comparison, candidates, order)


def _taken(cube: FluxCube, order: IntArray) -> FluxCube:
    """Return a cube with its sources in another order."""
    return replace(
        cube,
        flux=cube.flux[:, order],
        flux_error=cube.flux_error[:, order],
        flags=cube.flags[:, order],
        x=cube.x[order],
        y=cube.y[order],
        source_id=cube.source_id[order],
        is_forced=cube.is_forced[order],
    )


def _put_back(comparison: Comparison, candidates: Candidates, order: IntArray) -> Comparison:
    """Bring a comparison of sources in another order back to that of the cube."""
    back = np.argsort(order)
    curves = [
        RelativeFlux(**{name: values[back] for name, values in vars(curve).items()})
        for curve in comparison.curves
    ]
    groups = [_with_indices(group, order) for group in comparison.groups]
    group_of = None if comparison.group_of is None else comparison.group_of[back]
    return Comparison(curves, candidates, groups, group_of)


def _with_indices(group: GroupRecord, order: IntArray) -> GroupRecord:
    references = order[group.references]
    ascending = np.argsort(references)
    return replace(
        group,
        members=np.sort(order[group.members]),
        references=references[ascending],
        weights=group.weights[ascending],
        is_borrowed=group.is_borrowed[ascending],
    )


def _candidates(
    cube: FluxCube, aperture: int, rules: CandidateRules, known: KnownStars | None
) -> Candidates:
    found = ~cube.is_forced

    def selected(sources: BoolArray) -> Candidates:
        return select_candidates(
            cube.flux[aperture][sources],
            cube.flags[aperture][sources],
            cube.good,
            cube.transparency,
            cube.x[sources],
            cube.y[sources],
            is_variable=None if known is None else known.is_variable[sources],
            gaia_distance_1=None if known is None else known.distance_1[sources],
            gaia_distance_2=None if known is None else known.distance_2[sources],
            rules=rules,
        )

    everyone = selected(np.ones(len(found), dtype=np.bool_))
    if found.all() or not found.any():
        return replace(everyone, is_candidate=everyone.is_candidate & found)
    # A place that a person gave serves nobody, and makes no star less lonely.
    own = selected(found)
    is_candidate = np.zeros(len(found), dtype=np.bool_)
    flux, flags = cube.flux[aperture].copy(), cube.flags[aperture].copy()
    is_candidate[found], flux[found], flags[found] = own.is_candidate, own.flux, own.flags
    return Candidates(is_candidate, flux, flags, everyone.mean_flux)


def _compare_groups(
    cube: FluxCube, candidates: Candidates, onto: FluxCube, medians: Arithmetic
) -> Comparison:
    groups = group_sources(cube.x, cube.y, candidates.mean_flux, candidates.is_candidate)
    references = choose_references(candidates.flux, cube.good, candidates.is_candidate, groups)
    curves = [
        compare_with_groups(
            flux,
            error,
            flags,
            onto.good,
            references,
            transparency=onto.transparency,
            medians=medians,
        )
        for flux, error, flags in zip(onto.flux, onto.flux_error, onto.flags, strict=True)
    ]
    records = [_group_record(groups, references, number) for number in range(groups.n_group)]
    return Comparison(curves, candidates, records, groups.index)


def _group_record(groups: Groups, references: ReferenceStars, number: int) -> GroupRecord:
    members = np.flatnonzero(groups.index == number)
    serving = np.flatnonzero(references.serves[number])
    place = (groups.row == groups.row[number]) & (groups.column == groups.column[number])
    brightness = groups.brightness[place]
    return GroupRecord(
        position_bin=int(groups.row[number]) * groups.n_side + int(groups.column[number]),
        flux_bin=int(np.count_nonzero(brightness < groups.brightness[number])),
        members=members,
        references=serving,
        weights=np.ones(len(serving)),
        is_borrowed=groups.index[serving] != number,
        snr=float(references.snr[number]),
        note="borrows from its neighbours" if references.has_borrowed[number] else None,
    )


def _compare_ensemble(
    cube: FluxCube, candidates: Candidates, onto: FluxCube, medians: Arithmetic
) -> Comparison:
    ensembles = [
        choose_ensemble(
            flux,
            error,
            flags,
            cube.good,
            cube.x,
            cube.y,
            candidates.is_candidate,
            transparency=cube.transparency,
            medians=medians,
        )
        for flux, error, flags in zip(cube.flux, cube.flux_error, cube.flags, strict=True)
    ]
    curves = [
        apply_ensemble(
            ensemble,
            flux,
            error,
            flags,
            onto.good,
            onto.x,
            onto.y,
            transparency=onto.transparency,
            medians=medians,
        )
        for ensemble, flux, error, flags in zip(
            ensembles, onto.flux, onto.flux_error, onto.flags, strict=True
        )
    ]
    records = [_ensemble_record(e, r) for e, r in zip(ensembles, cube.radius_pix, strict=True)]
    return Comparison(curves, candidates, records, None)


def _ensemble_record(ensemble: Ensemble, radius_pix: float) -> GroupRecord:
    serving = np.flatnonzero(ensemble.weight > 0)
    return GroupRecord(
        position_bin=0,
        flux_bin=0,
        members=np.arange(len(ensemble.weight)),
        references=serving,
        weights=ensemble.weight[serving],
        is_borrowed=np.zeros(len(serving), dtype=bool),
        snr=float("nan"),
        note=f"radius {radius_pix:.2f} px: zero-point surface of order {ensemble.order}",
        surface_order=ensemble.order,
    )
