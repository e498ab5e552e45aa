"""Calibrated magnitudes beside the points of a light curve."""

from dataclasses import replace

import numpy as np
from sqlalchemy import Connection, select

from tianyu.cli.curves.columns import MAGNITUDE_COLUMNS
from tianyu.cli.curves.light_curve import LightCurve
from tianyu.schema.errors import NotFoundError
from tianyu.schema.tables import Magnitude


def with_magnitudes(connection: Connection, curve: LightCurve) -> LightCurve:
    """Add the columns ``magnitude`` and ``magnitude_error`` to a light curve.

    Parameters
    ----------
    connection : Connection
    curve : LightCurve
        Points of other than the default radius, and of frames without one, get NaN.

    Raises
    ------
    NotFoundError
        If none of its points has one; the text says what to do.
    """
    column = curve.columns
    runs = sorted({int(run) for run in column["run_id"]})
    sources = sorted({int(source) for source in column["source_id"]})
    query = select(Magnitude.__table__).where(
        Magnitude.run_id.in_(runs), Magnitude.source_id.in_(sources)
    )
    found = {
        (row.run_id, row.source_id, row.image_id): (row.magnitude, row.magnitude_error)
        for row in connection.execute(query)
    }
    if not found:
        raise NotFoundError(
            f"{curve.how} has no calibrated magnitude: no catalogue was matched; reduce with "
            "--set match_catalogue.catalogue=gaia or the path of a table"
        )
    keys = zip(column["run_id"], column["source_id"], column["image_id"], strict=True)
    pairs = [found.get((int(r), int(s), int(i)), (None, None)) for r, s, i in keys]
    values = np.array(pairs, dtype=np.float32).reshape(-1, 2)
    # Magnitudes are of the default radius only.
    values[column["is_default_radius"] != 1] = np.nan
    added = {"magnitude": values[:, 0], "magnitude_error": values[:, 1]}
    layout = (*curve.view_columns, *MAGNITUDE_COLUMNS)
    return replace(curve, columns={**column, **added}, view_columns=layout)
