"""A stand-in for CuPy on machines without a GPU: NumPy's arrays behind CuPy's rules.

CuPy refuses arrays of NumPy where it expects its own, and turns none of its own into NumPy's
unasked; a test on NumPy's arrays alone would not see a line that mixes the two. So here the arrays
are wrapped: whatever mixes them, or calls what CuPy 14 was not seen to have, ends with an error.
"""

import operator
from typing import Any

import numpy as np

FUNCTIONS = frozenset(
    [
        "arange",
        "arcsin",
        "asarray",
        "bincount",
        "clip",
        "concatenate",
        "count_nonzero",
        "diff",
        "empty",
        "full",
        "hypot",
        "isfinite",
        "maximum",
        "minimum",
        "nonzero",
        "rint",
        "sort",
        "sqrt",
        "stack",
        "take_along_axis",
        "where",
        "zeros",
        "zeros_like",
    ]
)
"""What the code may call; CuPy 14.2 has them all."""

CONSTANTS = frozenset(["float32", "float64", "int32", "int64", "uint8", "uint16", "inf", "nan"])
METHODS = frozenset(["any", "all", "astype", "max", "mean", "reshape", "sum"])
PLAIN = bool | int | float | np.generic | None | slice | type | np.dtype


def unwrapped(value: Any) -> Any:
    """Take the arrays out of an argument; what CuPy would not take is an error."""
    if isinstance(value, WrappedArray):
        return value.held
    if isinstance(value, tuple | list):
        return type(value)(unwrapped(item) for item in value)
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if not isinstance(value, PLAIN):
        raise TypeError(f"a device takes no {type(value)}")
    return value


def wrapped(value: Any) -> Any:
    """Wrap every array of an answer; a sum is an array without axes, as with CuPy."""
    if isinstance(value, tuple | list):
        return type(value)(wrapped(item) for item in value)
    return WrappedArray(np.asarray(value)) if isinstance(value, np.ndarray | np.generic) else value


class WrappedArray:
    """An array on a device that is none."""

    __array_ufunc__ = None  # so that NumPy does not take it for a number

    def __init__(self, held: np.ndarray) -> None:
        self.held = held

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed; use .get()")

    def get(self) -> np.ndarray:
        return self.held.copy()

    def set(self, values: np.ndarray, stream: Any = None) -> None:
        assert stream is None or isinstance(stream, Stream)
        assert values.shape == self.shape
        assert values.dtype == self.dtype
        self.held[...] = values

    def __getattr__(self, name: str) -> Any:
        if name in {"shape", "size", "dtype", "ndim"}:
            return getattr(self.held, name)
        if name == "T":
            return WrappedArray(self.held.T)
        if name not in METHODS:
            raise AttributeError(f"the code calls {name} of an array: look whether CuPy has it")
        method = getattr(self.held, name)
        return lambda *a, **k: wrapped(method(*map(unwrapped, a), **unwrapped_values(k)))

    def __getitem__(self, index: Any) -> Any:
        return wrapped(self.held[unwrapped(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self.held[unwrapped(index)] = unwrapped(value)

    def __len__(self) -> int:
        return len(self.held)

    def __int__(self) -> int:
        return int(self.held)

    def __float__(self) -> float:
        return float(self.held)

    def __bool__(self) -> bool:
        return bool(self.held)

    def __abs__(self) -> Any:
        return wrapped(abs(self.held))

    def __neg__(self) -> Any:
        return wrapped(-self.held)

    def __invert__(self) -> Any:
        return wrapped(~self.held)

    __hash__ = None  # type: ignore[assignment]


def unwrapped_values(options: dict[str, Any]) -> dict[str, Any]:
    return {name: unwrapped(value) for name, value in options.items()}


def _binary(name: str) -> None:
    function = getattr(operator, name)

    def forward(self: WrappedArray, other: Any) -> Any:
        return wrapped(function(self.held, unwrapped(other)))

    def backward(self: WrappedArray, other: Any) -> Any:
        return wrapped(function(unwrapped(other), self.held))

    def in_place(self: WrappedArray, other: Any) -> WrappedArray:
        getattr(operator, f"i{name.strip('_')}")(self.held, unwrapped(other))
        return self

    plain = name.strip("_")
    setattr(WrappedArray, f"__{plain}__", forward)
    if plain not in {"lt", "le", "gt", "ge", "eq", "ne"}:
        setattr(WrappedArray, f"__r{plain}__", backward)
        setattr(WrappedArray, f"__i{plain}__", in_place)


for _name in [
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "and_",
    "or_",
    "xor",
    "lt",
    "le",
    "gt",
    "ge",
    "eq",
    "ne",
]:
    _binary(_name)


class Event:
    """An event; whether it was recorded is all that there is to it here."""

    def __init__(self) -> None:
        self.is_recorded = False

    def record(self, stream: Any = None) -> None:
        assert isinstance(stream, Stream)
        self.is_recorded = True

    def synchronize(self) -> None:
        """Return at once: everything here is done when it is begun."""


class Stream:
    """A queue of work that is done at once."""

    def __init__(self, non_blocking: bool = False) -> None:
        self.non_blocking = non_blocking

    def wait_event(self, event: Event) -> None:
        assert isinstance(event, Event)


class Cuda:
    """The part of ``cupy.cuda`` that sends frames."""

    Stream, Event = Stream, Event
    work = Stream()

    @classmethod
    def get_current_stream(cls) -> Stream:
        return cls.work

    @staticmethod
    def alloc_pinned_memory(n_bytes: int) -> bytearray:
        return bytearray(n_bytes + 512)  # CuPy's pool rounds up


class WrappedNamespace:
    """A namespace of such arrays."""

    cuda = Cuda

    def __getattr__(self, name: str) -> Any:
        if name in CONSTANTS:
            return getattr(np, name)
        if name not in FUNCTIONS:
            raise AttributeError(f"the code calls {name}: look whether CuPy has it")
        function = getattr(np, name)
        if name == "asarray":  # the way in
            return lambda a: a if isinstance(a, WrappedArray) else WrappedArray(np.array(a))
        return lambda *a, **k: wrapped(function(*map(unwrapped, a), **unwrapped_values(k)))


WRAPPED = WrappedNamespace()
