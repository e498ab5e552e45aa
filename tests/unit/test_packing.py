"""Packed columns come back bit for bit, and what is no packed column is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tianyu.pipelines.packing import pack_columns, unpack_columns

KINDS = st.sampled_from([np.float32, np.float64, np.int16, np.int32, np.int64, np.uint8])
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_/", min_size=1, max_size=20)


@given(
    st.dictionaries(
        NAMES, KINDS.flatmap(lambda kind: arrays.arrays(kind, st.integers(0, 60))), max_size=4
    )
)
def test_every_bit_comes_back(columns: dict[str, np.ndarray]) -> None:
    found = unpack_columns(pack_columns(columns))
    assert found.keys() == columns.keys()
    for name, values in columns.items():
        assert found[name].dtype == values.dtype
        assert found[name].tobytes() == values.tobytes()


def test_a_light_curve_takes_less_than_half_of_its_bytes() -> None:
    """1000 fluxes of a constant star with one per cent of noise."""
    draw = np.random.default_rng(1)
    flux = (1e4 * draw.normal(1.0, 0.01, 1000)).astype(np.float32)
    columns = {"image_id": np.arange(1000), "flags": np.zeros(1000, np.int64), "flux": flux}
    assert len(pack_columns(columns)) < 0.25 * sum(values.nbytes for values in columns.values())


@pytest.mark.parametrize("packed", [b"", b"PK\x03\x04", pack_columns({"a": np.arange(9)})[:-30]])
def test_what_is_not_whole_is_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match=f"{len(packed)} bytes are no packed columns"):
        unpack_columns(packed)


def test_pickles_are_refused() -> None:
    with pytest.raises(ValueError, match="only one-dimensional arrays of numbers"):
        pack_columns({"names": np.array([{"a": 1}], dtype=object)})
