"""Where the frames of a run put the stars: what a trend with position follows."""

import numpy as np
from sqlalchemy import Connection, select

from tianyu.pipelines.science.arrays import FloatArray, IntArray
from tianyu.schema.tables import Frame


def read_geometry(connection: Connection, run: int, image_id: IntArray) -> FloatArray:
    """Return the map of template to frame pixels of every frame.

    The maps are fitted to all stars of a frame: unlike a star's own centroid they do not follow
    its noise or its flux.

    Parameters
    ----------
    connection : Connection
    run : int
    image_id : ndarray of int, shape (n_frame,)

    Returns
    -------
    ndarray, shape (n_frame, 2, 3)
        ``[[a, b, tx], [c, d, ty]]``; NaN where the frame has none.
    """
    columns = Frame.a, Frame.b, Frame.tx, Frame.c, Frame.d, Frame.ty
    query = select(Frame.image_id, *columns).where(Frame.run_id == run)
    maps = {row[0]: row[1:] for row in connection.execute(query)}
    unknown = (None,) * len(columns)
    rows = [maps.get(int(image), unknown) for image in image_id]
    # None becomes NaN.
    return np.array(rows, dtype=np.float64).reshape(-1, 2, 3)
