"""Rows of frames for tests that need no database."""

from tianyu.pipelines.frame_rows import FrameRow
from tianyu.pipelines.science.transform import AffineTransform


def frame_row(**changes):
    """A good frame of 60×80 pixels."""
    values = {
        "image_id": 1,
        "name": "frame",
        "width": 80,
        "height": 60,
        "exposure_s": 30.0,
        "transform": AffineTransform.identity(),
        "is_stacked": True,
        "is_good": True,
        "fwhm_pix": 2.5,
        "sky_rms": 2.0,
        "transparency": 1.0,
        "jd_utc_mid": 2460000.5,
    }
    return FrameRow(**(values | changes))
