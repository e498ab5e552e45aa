"""The compiled way to align the stars of a frame."""

import numpy as np

from tianyu.pipelines.science.align import AlignMethod
from tianyu.pipelines.science.kernels.shiftvotes import tally
from tianyu.pipelines.science.kernels.starpairs import fit_clipped, nearest_pairs
from tianyu.pipelines.science.mapfit import MapFit, fit_map, judged
from tianyu.pipelines.science.pairs import Pairing, StarPairs, joined
from tianyu.pipelines.science.starlist import StarList
from tianyu.pipelines.science.transform import AffineTransform


def align_method() -> AlignMethod:
    """Return compiled functions for :func:`~tianyu.pipelines.science.align.align`."""
    return AlignMethod(tally, _pairing, _fit)


def _pairing(reference: StarList, frame: StarList) -> Pairing:
    x, y = np.ascontiguousarray(frame.x), np.ascontiguousarray(frame.y)

    def pair(transform: AffineTransform, radius_pix: float) -> StarPairs:
        predicted = transform.apply(reference.x, reference.y)
        return joined(reference, frame, *nearest_pairs(*predicted, x, y, radius_pix), radius_pix)

    return pair


def _fit(pairs: StarPairs, *, affine: bool, clip: bool = True) -> MapFit:
    z, target = pairs.z, pairs.target
    ok, coefficients, keep, sum2 = fit_clipped(
        z.real, z.imag, target.real, target.imag, pairs.weight, affine, clip
    )
    if not ok:
        # Stars on a line: of all maps the plain function takes the smallest.
        return fit_map(pairs, affine=affine, clip=clip)
    kept = pairs if keep.all() else pairs[keep]
    return judged(AffineTransform(*coefficients.tolist()), kept, sum2, affine=affine)
