"""The table of the Earth's rotation that is installed with astropy."""

from functools import lru_cache

import numpy as np
from astropy_iers_data import (  # type: ignore[import-untyped]  # astropy's tables alone
    IERS_B_FILE,
)

from tianyu.pipelines.science.observer import EarthRotation


@lru_cache(maxsize=1)
def bundled_rotation() -> EarthRotation:
    """Read IERS B; astropy's own reader takes twenty times as long, a third of a second a process.

    Nothing is downloaded; the table ends with the month before the installed package.
    """
    mjd, ut1_minus_utc_s = np.loadtxt(IERS_B_FILE, usecols=(4, 7), comments="#", unpack=True)
    return EarthRotation.from_utc(mjd, ut1_minus_utc_s)
