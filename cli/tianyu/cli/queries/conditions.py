"""The conditions under which the points of a light curve were measured."""

from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, bindparam, select

from tianyu.cli.curves.light_curve import LightCurve
from tianyu.pipelines.science.arrays import FloatArray
from tianyu.schema.tables import Frame

_FRAMES = select(Frame.run_id, Frame.image_id, Frame.fwhm_pix, Frame.transparency).where(
    Frame.run_id.in_(bindparam("runs", expanding=True))
)


@dataclass(frozen=True, eq=False)
class Conditions:
    """One value per point of a light curve, shape (n,); NaN where not measured."""

    airmass: FloatArray
    fwhm_pix: FloatArray
    transparency: FloatArray


def read_conditions(connection: Connection, curve: LightCurve) -> Conditions:
    """Return airmass, width of the stars and transparency at every point of a light curve."""
    runs = sorted({int(run) for run in curve["run_id"]})
    rows = connection.execute(_FRAMES, {"runs": runs})
    frames = {(row.run_id, row.image_id): (row.fwhm_pix, row.transparency) for row in rows}
    keys = zip(curve["run_id"].tolist(), curve["image_id"].tolist(), strict=True)
    # None becomes NaN.
    values = np.array([frames.get(key, (None, None)) for key in keys], dtype=np.float64)
    return Conditions(
        airmass=np.asarray(curve["airmass"], dtype=np.float64),
        fwhm_pix=values[:, 0],
        transparency=values[:, 1],
    )
