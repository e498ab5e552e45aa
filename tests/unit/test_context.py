"""What a step may know and touch while it runs."""

import pytest

from tianyu.pipelines.context import StepContext
from tianyu.schema.errors import UnsafePathError


@pytest.fixture
def context(installation):
    return StepContext(
        installation.database, 42, 7, "stack_frames", 3, installation.site_id, installation.root
    )


def test_a_product_goes_to_a_path_of_its_own_attempt(context):
    """A late zombie of an earlier attempt can never overwrite it."""
    file = context.product_file("stack.fits")
    assert file.relative == "runs/000007/stack_frames/42.3.stack.fits"
    assert file.absolute == context.root.resolve() / file.relative
    assert file.absolute.parent.is_dir()
    assert not file.absolute.exists()


def test_a_stored_path_is_found_again(context):
    file = context.product_file("stack.fits")
    assert context.file_of(file.relative) == file.absolute


@pytest.mark.parametrize("name", ["../stack.fits", "a/b.fits", "what?.fits"])
def test_a_product_stays_in_its_folder(context, name):
    with pytest.raises(UnsafePathError):
        context.product_file(name)


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret", "raw/../../secret"])
def test_nothing_outside_the_root_is_read(context, path):
    with pytest.raises(UnsafePathError):
        context.file_of(path)


def test_traffic_is_counted_per_attempt(context, installation):
    context.traffic.read += 5
    other = StepContext(installation.database, 1, 1, "s", 1, 1, installation.root)
    assert (other.traffic.read, other.traffic.written) == (0, 0)


def test_progress_may_go_unheard(context):
    context.progress(1, 2)
