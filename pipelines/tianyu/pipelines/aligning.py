"""Which functions align frames: compiled ones where the settings want them, else the plain ones."""

from tianyu.pipelines.kernels import compiled_kernels
from tianyu.pipelines.science.align import AlignMethod


def align_method() -> AlignMethod:
    """Return the functions for :func:`~tianyu.pipelines.science.align.align`."""
    if not compiled_kernels():
        return AlignMethod()
    from tianyu.pipelines.science.kernels import aligning  # noqa: PLC0415 - slow to import

    return aligning.align_method()
