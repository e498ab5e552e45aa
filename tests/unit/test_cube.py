"""All fluxes of a run as arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from tianyu.pipelines import cube as cube_module
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.cube import load_cube
from tianyu.pipelines.errors import MissingInputError
from tianyu.pipelines.frame_rows import FrameRow
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.schema.tables import Flux, FrameVerdict, SourcePosition


def frame(image_id, jd, *, is_good=True, transparency=1.0):
    return FrameRow(
        image_id, f"{image_id}.fits", 256, 256, 60.0, AffineTransform.identity(), True, is_good,
        3.0, 10.0, transparency, jd,
    )  # fmt: skip


# source, image, aperture, flux, error, flags: image 4 was taken before image 3.
TABLE = np.array(
    [
        [10, 3, 0, 100.0, 1.0, 0],
        [10, 3, 1, 110.0, 1.1, 4],
        [10, 4, 0, 200.0, 2.0, 1],
        [10, 4, 1, 220.0, 2.2, 0],
        [12, 3, 0, 300.0, 3.0, 0],
        [12, 3, 1, np.nan, np.nan, 8],
    ]
)
FRAMES = [frame(4, 2460000.1), frame(3, 2460000.2, is_good=False, transparency=None), frame(9, 0.0)]
POSITIONS = {10: (1.5, 2.5), 12: (3.5, 4.5)}
RADII = {0: 2.0, 1: 3.0}


def test_rows_are_folded_by_hand():
    cube = cube_module._fold(TABLE, FRAMES, POSITIONS, RADII)
    nan = np.nan
    np.testing.assert_array_equal(
        cube.flux, [[[200.0, 100.0], [nan, 300.0]], [[220.0, 110.0], [nan, nan]]]
    )
    np.testing.assert_array_equal(
        cube.flux_error, [[[2.0, 1.0], [nan, 3.0]], [[2.2, 1.1], [nan, nan]]]
    )
    np.testing.assert_array_equal(cube.flags, [[[1, 0], [0, 0]], [[0, 4], [0, 8]]])
    assert cube.flags.dtype == np.uint16
    assert cube.source_id.tolist() == [10, 12]
    assert cube.image_id.tolist() == [4, 3], "in the order of time, frames without fluxes left out"
    assert cube.jd_utc_mid.tolist() == [2460000.1, 2460000.2]
    assert cube.good.tolist() == [True, False]
    np.testing.assert_array_equal(cube.transparency, [1.0, nan])
    assert cube.radius_pix.tolist() == [2.0, 3.0]
    assert (cube.x.tolist(), cube.y.tolist()) == ([1.5, 3.5], [2.5, 4.5])


@given(order=st.permutations(range(len(TABLE))))
def test_the_order_of_the_rows_does_not_matter(order):
    expected = cube_module._fold(TABLE, FRAMES, POSITIONS, RADII)
    cube = cube_module._fold(TABLE[list(order)], FRAMES, POSITIONS, RADII)
    np.testing.assert_array_equal(cube.flux, expected.flux)
    np.testing.assert_array_equal(cube.flags, expected.flags)


def test_ids_may_lie_far_apart():
    expected = cube_module._fold(TABLE, FRAMES, POSITIONS, RADII)
    far = {10: 10, 12: 12 * 10**9}
    table = TABLE.copy()
    table[:, 0] = [far[int(number)] for number in TABLE[:, 0]]
    positions = {far[number]: place for number, place in POSITIONS.items()}
    cube = cube_module._fold(table, FRAMES, positions, RADII)
    np.testing.assert_array_equal(cube.flux, expected.flux)
    assert cube.source_id.tolist() == list(far.values())


def test_a_reduced_night_is_loaded_whole(reduced_night):
    cube = load_cube(reduced_night.context())
    run_id = reduced_night.run_id
    with reduced_night.database.read() as connection:
        n_flux = connection.scalar(select(func.count()).where(Flux.run_id == run_id))
        n_good = connection.scalar(select(func.count()).where(FrameVerdict.is_good))
        row = connection.execute(
            select(Flux.__table__).where(Flux.run_id == run_id, Flux.aperture == 2).limit(1)
        ).one()
        place = connection.execute(
            select(SourcePosition.x, SourcePosition.y).where(
                SourcePosition.source_id == row.source_id
            )
        ).one()
    assert cube.flux.size == n_flux
    assert cube.flux.shape == (6, len(cube.source_id), 12)
    assert np.count_nonzero(cube.good) == n_good == 10
    source = cube.source_id.tolist().index(row.source_id)
    image = cube.image_id.tolist().index(row.image_id)
    assert cube.flux[2, source, image] == row.flux
    assert cube.radius_pix[2] == pytest.approx(row.radius_pix)
    assert (cube.x[source], cube.y[source]) == tuple(place)
    assert np.all(np.diff(cube.jd_utc_mid) > 0)


def test_a_run_without_fluxes_says_so(installation):
    context = StepContext(
        installation.database, 1, 77, "s", 1, installation.site_id, installation.root
    )
    with pytest.raises(MissingInputError, match="run 77 has no fluxes to compare"):
        load_cube(context)


def test_some_sources_are_read_as_among_all(reduced_night):
    everything = load_cube(reduced_night.context())
    some = everything.source_id[[1, 4]].tolist()
    part = load_cube(reduced_night.context(), some)
    assert part.source_id.tolist() == some
    np.testing.assert_array_equal(part.flux, everything.flux[:, [1, 4]])
    np.testing.assert_array_equal(part.radius_pix, everything.radius_pix)
