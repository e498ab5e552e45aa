"""What the steps of a run are told of their surroundings: masters, place, pointing, targets."""

from statistics import median
from typing import Any

from sqlalchemy import Connection, Row, select

from tianyu.pipelines.targets import POSITION_KIND
from tianyu.publisher.masters import MatchedMasters
from tianyu.schema.pid import to_text
from tianyu.schema.tables import Instrument, ObservationTarget, Sky, Target


def surroundings_of(
    connection: Connection,
    observation: Row[Any],
    frames: list[Row[Any]],
    masters: MatchedMasters,
) -> dict[str, Any]:
    """Return what steps may ask for by name, as JSON.

    Parameters
    ----------
    connection : Connection
    observation : Row
        Of the table of observations.
    frames : list of Row
        Its raw frames, in order.
    masters : MatchedMasters
        That calibrate them.
    """
    instrument = connection.execute(
        select(Instrument.__table__).where(Instrument.id == observation.instrument_id)
    ).one()
    pids = {"bias": masters.bias, "dark": masters.dark, "flat": masters.flat}
    return {
        "calibration": {k: None if pid is None else to_text(pid) for k, pid in pids.items()},
        "place": {
            "latitude_deg": instrument.latitude_deg,
            "longitude_deg": instrument.longitude_deg,
            "altitude_m": instrument.altitude_m,
        },
        "field": _field_centre(connection, observation, frames),
        "gain_e_per_adu": instrument.gain_e_per_adu,
        "diameter_m": instrument.aperture_m,
        "saturation_adu": instrument.saturation_adu,
        "targets": _targets(connection, observation.id),
    }


def _field_centre(
    connection: Connection, observation: Row[Any], frames: list[Row[Any]]
) -> dict[str, float | None]:
    """Return where the telescope looks: the target, else the sky, else the headers' pointing."""
    for table, row_id in ((Target, observation.target_id), (Sky, observation.sky_id)):
        if row_id is not None:
            row = connection.execute(
                select(table.ra_deg, table.dec_deg).where(table.id == row_id)
            ).one()
            if row.ra_deg is not None:
                return {"ra_deg": row.ra_deg, "dec_deg": row.dec_deg}
    pointings = [
        (frame.header["ra_deg"], frame.header["dec_deg"])
        for frame in frames
        if "ra_deg" in frame.header and "dec_deg" in frame.header
    ]
    if not pointings:
        return {"ra_deg": None, "dec_deg": None}
    # Counted from the first, since right ascensions jump from 360 to 0 degrees.
    first = pointings[0][0]
    offset = median((ra - first + 180.0) % 360.0 - 180.0 for ra, _ in pointings)
    return {
        "ra_deg": (first + offset) % 360.0,
        "dec_deg": median(dec for _, dec in pointings),
    }


def _targets(connection: Connection, observation_id: int) -> list[dict[str, Any]]:
    query = (
        select(ObservationTarget.__table__, Target.ra_deg, Target.dec_deg, Target.name, Target.kind)
        .join(Target, Target.id == ObservationTarget.target_id)
        .where(ObservationTarget.observation_id == observation_id)
        .order_by(ObservationTarget.target_id)
    )
    return [
        {
            "target_id": row.target_id,
            "image_id": row.image_id,
            "x": row.x,
            "y": row.y,
            "ra_deg": row.ra_deg,
            "dec_deg": row.dec_deg,
            **({"name": row.name, "is_forced": True} if row.kind == POSITION_KIND else {}),
        }
        for row in connection.execute(query)
    ]
