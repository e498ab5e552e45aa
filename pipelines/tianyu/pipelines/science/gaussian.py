"""The Gaussian that stands for a star's image."""

import math

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
"""Full width at half maximum over standard deviation, 2.3548."""
