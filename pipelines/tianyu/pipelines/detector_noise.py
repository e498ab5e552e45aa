"""The gain that tells the photon noise of a run: as given, else as measured, and said which."""

from functools import lru_cache

import numpy as np

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.frames import find_facts_of_product
from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.gain import MeasuredGain, gain_of_sky
from tianyu.schema.numbers import read_numbers
from tianyu.schema.tables import Frame, FrameVerdict


def noise_gain(
    context: StepContext, given: float | None, flat_birth: int | None
) -> MeasuredGain | None:
    """Return the best known gain.

    Parameters
    ----------
    context : StepContext
    given : float or None
        By the header or the instrument, electrons per ADU: it is believed.
    flat_birth : int or None
        Process that made the master flat; its flats come before the sky.

    Returns
    -------
    MeasuredGain or None
        The same for every process of a run. None if nothing tells it.
    """
    if given is not None:
        return MeasuredGain(given, 0.0, "the header or the instrument")
    flat = None if flat_birth is None else find_facts_of_product(context, flat_birth, "master_flat")
    if flat is not None and "measured_gain_e_per_adu" in flat.header:
        header = flat.header
        return MeasuredGain(
            float(header["measured_gain_e_per_adu"]),
            float(header["measured_gain_error"]),
            "a pair of flats",
        )
    level, rms = _sky_of_good_frames(context)
    return _gain_of_sky(level.tobytes(), rms.tobytes())


def in_words(gain: MeasuredGain | None, *, flux_unit: str) -> str:
    """Say which gain the errors rest on.

    Examples
    --------
    >>> in_words(MeasuredGain(1.3412, 0.0021, "a pair of flats"), flux_unit="adu")
    'gain 1.341 ± 0.002 e/ADU from a pair of flats; fluxes stay in ADU'
    """
    if gain is None:
        return "gain unknown: errors of stars lack their photon noise; give it with --gain"
    precision = f" ± {gain.error:.3f}" if gain.error else ""
    unit = "; fluxes stay in ADU" if flux_unit == "adu" else ""
    return f"gain {gain.e_per_adu:.3f}{precision} e/ADU from {gain.origin}{unit}"


def _sky_of_good_frames(context: StepContext) -> tuple[FloatArray, FloatArray]:
    """Return level and rms of the sky in good frames, in the order of time, ties by id."""
    frame, verdict = Frame.__table__.c, FrameVerdict.__table__.c
    good = (verdict.run_id == frame.run_id) & (verdict.image_id == frame.image_id)
    good &= (frame.run_id == context.run_id) & verdict.is_good
    others = [frame.image_id, frame.jd_utc_mid, frame.sky_level, frame.sky_rms]
    with context.database.read() as connection:
        rows = read_numbers(connection, [frame.run_id], others, good)
    _, image_id, time, level, rms = rows.T
    order = np.lexsort((image_id, np.nan_to_num(time, nan=-np.inf)))
    return level[order], rms[order]


@lru_cache(maxsize=4)
def _gain_of_sky(level: bytes, rms: bytes) -> MeasuredGain | None:
    """Measure the gain once for all chunks of a run: it takes as long as three frames do."""
    return gain_of_sky(np.frombuffer(level), np.frombuffer(rms))
