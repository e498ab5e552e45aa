"""Exposures as a process: frames appear whole, with full headers, whatever camera takes them."""

import numpy as np
import pytest
from astropy.io import fits
from tests.unit.alpaca_simulator import SimulatedDevice, alpaca_server

from tianyu.pipelines.cameras import CameraError
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import InvalidParametersError
from tianyu.pipelines.fits import read_header, read_pixels
from tianyu.pipelines.step import find_step, validate
from tianyu.publisher.capturing import publish_capture

SMALL = {"size_pix": 128, "speed": 1e6, "exposure_s": 60.0}


@pytest.fixture
def capture(installation):
    """Return a function that runs the step here, and gives the frames in its folder."""

    def run(**values):
        seen = []
        context = StepContext(
            installation.database, 1, 1, "capture", 1, installation.site_id, installation.root,
            progress=lambda done, total: seen.append((done, total)),
        )  # fmt: skip
        parameters = validate("capture", values)
        try:
            find_step("capture").run(parameters, context)
        finally:
            folder = installation.root.joinpath(*parameters.folder.split("/"))
            run.files = sorted(path for path in folder.glob("*"))
            run.progress = seen
        return run.files

    return run


def test_the_simulated_camera_gives_the_frames_of_its_night(capture):
    files = capture(**SMALL, n_frames=2, object_name="M 31", telescope="T")
    assert [path.name for path in files] == ["frame_0001.fits", "frame_0002.fits"]
    assert capture.progress == [(0, 2), (1, 2), (2, 2)]
    for path in files:
        header = read_header(path)
        assert (header.kind.value, header.exposure_s, header.filter_name) == ("light", 60.0, "r")
        assert header.latitude_deg == pytest.approx(31.96)
        # Stars on a sky: not flat, and the brightest far above the noise.
        pixels = read_pixels(path).astype(float)
        noise = 1.4826 * np.median(np.abs(pixels - np.median(pixels)))
        assert pixels.shape == (128, 128)
        assert pixels.max() > np.median(pixels) + 20 * noise
    starts = [read_header(path).utc_start for path in files]
    assert starts[1] > starts[0]


def test_an_exposure_is_never_overwritten(capture):
    (before,) = capture(**SMALL)
    content = before.read_bytes()
    with pytest.raises(CameraError, match="is there already and is not overwritten"):
        capture(**SMALL, n_frames=2)
    assert capture.files == [before]
    assert before.read_bytes() == content


@pytest.mark.parametrize("folder", ["../out", "/etc", "a:b", "con", "a//b", "nul.x/y"])
def test_a_folder_that_some_platform_refuses_is_refused(folder):
    with pytest.raises(InvalidParametersError, match="folder"):
        validate("capture", {"exposure_s": 1.0, "folder": folder})


@pytest.mark.parametrize("knows_image_bytes", [True, False])
def test_an_image_of_an_alpaca_camera_is_the_right_way_round(capture, knows_image_bytes):
    device = SimulatedDevice()
    device.knows_image_bytes = knows_image_bytes
    with alpaca_server(device) as address:
        (path,) = capture(
            camera="alpaca", address=address, exposure_s=0.05, filter_name="V",
            object_name="M 31", field={"ra_deg": 10.7, "dec_deg": 41.3},
            place={"latitude_deg": 31.7, "longitude_deg": -110.9, "altitude_m": 2000.0},
        )  # fmt: skip
    assert (read_pixels(path) == device.image).all()
    header = read_header(path)
    assert (header.kind.value, header.filter_name, header.object_name) == ("light", "V", "M 31")
    assert header.exposure_s == 0.05
    assert header.utc_start.isoformat() == "2025-03-17T02:50:00.250000"
    assert (header.gain_e_per_adu, header.gain_setting) == (0.8, 120)
    assert (header.ra_deg, header.latitude_deg, header.longitude_deg) == (10.7, 31.7, -110.9)
    cards = fits.getheader(path)
    assert (cards["INSTRUME"], cards["CCD-TEMP"], cards["SATURATE"]) == (
        "Test camera",
        -10.5,
        65535,
    )
    assert device.lights == [True]
    assert device.n_aborted == 0


def test_a_dark_keeps_the_shutter_closed(capture):
    device = SimulatedDevice()
    with alpaca_server(device) as address:
        capture(camera="alpaca", address=address, exposure_s=0.01, kind="DARK", stem="dark")
    assert device.lights == [False]


def test_what_the_camera_complains_of_is_told_and_the_exposure_is_broken_off(capture):
    device = SimulatedDevice()
    device.error_when_ready = "the shutter is stuck"
    with (
        alpaca_server(device) as address,
        pytest.raises(CameraError, match=r"Alpaca camera 0 at 127.*the shutter is stuck"),
    ):
        capture(camera="alpaca", address=address, exposure_s=0.01)
    assert capture.files == []
    assert device.n_aborted == 1


def test_a_server_that_is_not_there_is_named(capture):
    with pytest.raises(CameraError, match=r"Alpaca camera 3 at 127\.0\.0\.1:9"):
        capture(camera="alpaca", address="127.0.0.1:9", device=3, exposure_s=0.01)


def test_a_published_series_waits_for_the_group_camera(installation):
    publish_capture(installation.database, installation.site_id, {**SMALL, "n_frames": 2})
    # The same words again: it is taken again.
    again = {**SMALL, "n_frames": 1, "stem": "more"}
    runs = {publish_capture(installation.database, installation.site_id, again) for _ in range(2)}
    assert len(runs) == 2
    with installation.database.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT g.name, p.repeatable, p.state FROM process AS p JOIN queue AS q "
            "ON q.id = p.queue_id JOIN hardware_group AS g ON g.id = q.group_id"
        ).all()
    assert [tuple(row) for row in rows] == [("camera", 0, "ready")] * 3
