"""The GPU of this machine, where there is one that CuPy can use."""

import threading
from functools import cache
from typing import TYPE_CHECKING

from tianyu.pipelines.kernels import compiled_kernels
from tianyu.pipelines.science.gpu.namespace import ArrayNamespace
from tianyu.schema.errors import ConfigurationError

if TYPE_CHECKING:
    from tianyu.pipelines.device_frames import Gpu

_ALTERNATIVE = (
    "or give what needs none: consumers of group cpu, runs published without --gpu, kernels = fast"
)

_finding = threading.Lock()


@cache
def gpu_namespace() -> ArrayNamespace:
    """Return the module whose arrays lie on the GPU.

    Raises
    ------
    ConfigurationError
        If CuPy is not installed or finds no GPU; the text says what to do.
    """
    try:
        import cupy  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            "consumers of group gpu, and the setting kernels = gpu, need CuPy, which cannot be "
            f"imported here ({error}): pip install 'tianyu[gpu]'; {_ALTERNATIVE}"
        ) from error
    try:
        # It makes no context yet, which would take memory of the device.
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise ConfigurationError(
            f"CuPy {cupy.__version__} finds no GPU that it can use ({error}): look at nvidia-smi, "
            f"update the driver, or let CUDA_VISIBLE_DEVICES name one; {_ALTERNATIVE}"
        ) from error
    if not count:
        raise ConfigurationError(
            f"CuPy {cupy.__version__} finds no GPU: let CUDA_VISIBLE_DEVICES name one; "
            f"{_ALTERNATIVE}"
        )
    return cupy


def find_gpu() -> "Gpu":
    """Return what works on frames on the GPU, the same for all threads of this process.

    Raises
    ------
    ConfigurationError
        As :func:`gpu_namespace` says.
    """
    with _finding:  # the thread that reads ahead asks too
        return _gpu()


@cache
def _gpu() -> "Gpu":
    # Says where compiled code is kept before any is imported.
    compiled_kernels()
    from tianyu.pipelines.device_frames import Gpu  # noqa: PLC0415 - slow

    return Gpu(gpu_namespace())
