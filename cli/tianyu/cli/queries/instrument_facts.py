"""What is known of the telescope and detector of a run, for a theoretical noise."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from tianyu.pipelines.science.gain import MeasuredGain, gain_of_sky
from tianyu.schema.tables import (
    Frame,
    FrameVerdict,
    Image,
    Instrument,
    Observation,
    Process,
    Reduction,
)

MEASURING = ("extract_flux", "measure_frames")
"""Steps that convert counts to electrons."""


@dataclass(frozen=True)
class InstrumentFacts:
    """Numbers of one run's instrument; None where nobody said.

    ``gain_e_per_adu`` is the one that the fluxes of the run were converted with, or the one
    that was measured for their errors.
    """

    gain_e_per_adu: float | None
    read_noise_e: float | None
    aperture_m: float | None
    altitude_m: float | None
    latitude_deg: float | None
    longitude_deg: float | None
    saturation_adu: float | None
    gain_origin: str | None = None
    """Where a gain comes from that was measured, not stated."""


def read_instrument_facts(connection: Connection, run: int) -> InstrumentFacts:
    """Return the facts about the instrument of a run."""
    row = connection.execute(
        select(
            Instrument.gain_e_per_adu,
            Instrument.read_noise_e,
            Instrument.aperture_m,
            Instrument.altitude_m,
            Instrument.latitude_deg,
            Instrument.longitude_deg,
            Instrument.saturation_adu,
        )
        .join(Observation, Observation.instrument_id == Instrument.id)
        .join(Reduction, Reduction.observation_id == Observation.id)
        .where(Reduction.run_id == run)
    ).one()
    used = connection.scalars(
        select(Process.parameters)
        .where(Process.run_id == run, Process.command.in_(MEASURING))
        .limit(1)
    ).first()
    gain = (used or {}).get("gain_e_per_adu", row.gain_e_per_adu)
    measured = None if gain is not None else _measured_gain(connection, run, used or {})
    known = {**row._asdict(), "gain_e_per_adu": gain if measured is None else measured.e_per_adu}
    return InstrumentFacts(**known, gain_origin=None if measured is None else measured.origin)


def _measured_gain(
    connection: Connection, run: int, parameters: dict[str, Any]
) -> MeasuredGain | None:
    """Return the gain that the errors of the run rest on, where nobody stated one."""
    flat = parameters.get("calibration", {}).get("flat")
    if flat is not None:
        query = select(Image.header).where(Image.birth == int(flat), Image.kind == "master_flat")
        header = connection.scalars(query).first() or {}
        if "measured_gain_e_per_adu" in header:
            value, error = header["measured_gain_e_per_adu"], header["measured_gain_error"]
            return MeasuredGain(float(value), float(error), "a pair of flats")
    rows = connection.execute(
        select(Frame.sky_level, Frame.sky_rms)
        .join(
            FrameVerdict,
            (FrameVerdict.run_id == Frame.run_id) & (FrameVerdict.image_id == Frame.image_id),
        )
        .where(Frame.run_id == run, FrameVerdict.is_good)
        .order_by(Frame.jd_utc_mid, Frame.image_id)
    ).all()
    values = np.array([tuple(r) for r in rows], dtype=np.float64).reshape(-1, 2)
    return gain_of_sky(values[:, 0], values[:, 1])
