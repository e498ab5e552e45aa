"""The arcsine of many numbers at once: the library's takes one at a time.

The rational approximation of FDLIBM [1]_, within 10⁻¹⁵.

References
----------
.. [1] Sun Microsystems, 1993, Freely Distributable LIBM, ``e_asin.c``.
"""

import math

from tianyu.pipelines.science.kernels.jit import compiled


@compiled
def arcsine(x: float) -> float:
    """Return the arcsine of a number from 0 to 1, without a branch.

    Beyond one half it is that of a smaller number: asin x = π/2 − 2 asin √((1 − x)/2).
    """
    is_small = x < 0.5
    t = x * x if is_small else 0.5 * (1.0 - x)
    root = x if is_small else math.sqrt(t)
    above = 2.01212532134862925881e-01 + t * (
        -4.00555345006794114027e-02
        + t * (7.91534994289814532176e-04 + t * 3.47933107596021167570e-05)
    )
    above = 1.66666666666666657415e-01 + t * (-3.25565818622400915405e-01 + t * above)
    below = 2.02094576023350569471e00 + t * (
        -6.88283971605453293030e-01 + t * 7.70381505559019352791e-02
    )
    below = 1.0 + t * (-2.40339491173441421878e00 + t * below)
    angle = root + root * (t * above / below)
    return angle if is_small else 0.5 * math.pi - 2.0 * angle
