"""What is known of the telescope and detector of a run, for a theoretical noise."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from tianyu.schema.tables import Instrument, Observation, Process, Reduction


@dataclass(frozen=True)
class InstrumentFacts:
    """Numbers of one run's instrument; None where nobody said.

    ``gain_e_per_adu`` is the one that the fluxes of the run were converted with.
    """

    gain_e_per_adu: float | None
    read_noise_e: float | None
    aperture_m: float | None
    altitude_m: float | None
    latitude_deg: float | None
    longitude_deg: float | None
    saturation_adu: float | None


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
        .where(Process.run_id == run, Process.command == "extract_flux")
        .limit(1)
    ).first()
    gain = (used or {}).get("gain_e_per_adu", row.gain_e_per_adu)
    known = {**row._asdict(), "gain_e_per_adu": gain}
    return InstrumentFacts(**known)
