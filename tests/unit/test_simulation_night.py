"""A simulated night: its frames, its headers, its truth."""

from dataclasses import replace

import numpy as np
import pytest
import sep
from astropy.io import fits
from scipy.optimize import curve_fit

from tianyu.pipelines.simulation import (
    FlatKind,
    FrameKind,
    NightPlan,
    NightTruth,
    SignalPlan,
    Tracking,
    Transit,
    TransitPlan,
    build_scene,
    night_frames,
    render_stars,
    simulate,
    simulate_frame,
    simulate_night,
)
from tianyu.pipelines.simulation.render import sky_plane

PLAN = NightPlan.small()


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("night")
    calls = []
    truth = simulate_night(PLAN, folder, progress=lambda *done: calls.append(done))
    return folder, truth, calls


def electrons_above_sky(plan, index):
    """A light with the true maps and the true sky taken off, and the light that went in."""
    detector = build_scene(plan).detector
    frame = simulate_frame(plan, index)
    truth = frame.truth
    conditions = truth.conditions
    psf = conditions.psf(plan.weather.moffat_beta)
    expected = render_stars(plan.shape, truth.x, truth.y, truth.flux_e, psf)
    slopes = conditions.sky_slope_x, conditions.sky_slope_y
    sky = sky_plane(plan.shape, conditions.sky_e, *slopes)
    charge = (frame.raw - detector.bias_adu) * plan.camera.gain_e_adu
    charge -= detector.dark_e_s * plan.exposure_s
    seen = np.where(detector.is_dead, expected, charge / detector.response - sky)
    return seen.astype(np.float32), expected, truth


# --- the files -----------------------------------------------------------------------------


def test_every_frame_is_a_file_and_progress_counts_them(night):
    folder, _, calls = night
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 12 + 5 + 3 + 5 + 1
    assert {"light_r_0001.fits", "bias_001.fits", "dark_003.fits", "flat_r_005.fits"} < set(names)
    assert calls == [(i, 25) for i in range(1, 26)]


def test_a_file_holds_the_frame_as_16_bit_integers(night):
    folder, _, _ = night
    with fits.open(folder / "light_r_0003.fits", do_not_scale_image_data=True) as hdus:
        assert (hdus[0].header["BITPIX"], hdus[0].header["BZERO"]) == (16, 32768)
    data = fits.getdata(folder / "light_r_0003.fits")
    assert data.dtype == np.uint16
    np.testing.assert_array_equal(data, simulate_frame(PLAN, 2).raw)


def test_two_processes_write_the_same_bytes(night, tmp_path):
    folder, _, _ = night
    simulate_night(PLAN, tmp_path, processes=2)
    for path in sorted(folder.iterdir()):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_seed_decides_everything():
    first, again = simulate_frame(PLAN, 1), simulate_frame(PLAN, 1)
    np.testing.assert_array_equal(first.raw, again.raw)
    other = simulate_frame(NightPlan.small(seed=2), 1)
    assert (first.raw != other.raw).mean() > 0.5


def test_frames_have_their_own_noise():
    biases = [simulate(PLAN, FrameKind.BIAS, i).raw.astype(float) for i in (0, 1)]
    # Independent read-out noises: √2 · 8/1.5 = 7.54 ADU (and rounding).
    assert np.std(biases[0] - biases[1]) == pytest.approx(
        np.sqrt(2 * (64 / 2.25 + 1 / 12)), rel=0.02
    )


def test_truth_comes_back_from_its_file(night):
    folder, truth, _ = night
    for path in (folder, folder / "truth.json"):
        read = NightTruth.read(path)
        assert read.plan == truth.plan
        assert read.frames == truth.frames
        assert read.signals == truth.signals
        for name, column in vars(truth.stars).items():
            np.testing.assert_array_equal(getattr(read.stars, name), column)


def test_a_night_without_frames_still_has_a_truth(tmp_path):
    plan = replace(PLAN, n_light=0, n_bias=0, n_dark=0, n_flat=0)
    truth = simulate_night(plan, tmp_path)
    assert (truth.frames, truth.signals) == ((), ())
    assert night_frames(plan) == []


# --- the sky -------------------------------------------------------------------------------


def test_stars_have_the_true_flux_within_the_photon_noise():
    seen, expected, truth = electrons_above_sky(PLAN, 3)
    hosts = [signal.star for signal in build_scene(PLAN).signals]
    x, y = truth.x[hosts], truth.y[hosts]
    measured, _, _ = sep.sum_circle(seen, x, y, 9.0)
    wanted, _, _ = sep.sum_circle(expected, x, y, 9.0)
    # 254 px of sky and read-out noise, and the star itself: some 0.4 % of these stars.
    sigma = np.sqrt(wanted + np.pi * 81 * (truth.conditions.sky_e + 64))
    assert (sigma / wanted).max() < 0.007
    assert (np.abs(measured - wanted) < 3.5 * sigma).all()


def test_light_of_the_whole_frame_is_that_of_its_stars():
    seen, expected, _ = electrons_above_sky(PLAN, 3)
    faint = expected < 20000.0  # no full pixel, and no cosmic ray:
    faint &= np.abs(seen - expected) < 400.0
    # 65536 px of noise √(300 + 64 + stars) e: the mean is known to 0.1 e.
    assert np.mean((seen - expected)[faint]) == pytest.approx(0.0, abs=0.4)


def test_width_of_a_star_is_that_of_the_truth():
    image, _, truth = electrons_above_sky(PLAN, 3)
    star = build_scene(PLAN).signals[0].star
    x0, y0 = truth.x[star], truth.y[star]
    y, x = np.mgrid[round(y0) - 7 : round(y0) + 8, round(x0) - 7 : round(x0) + 8]

    def moffat(position, peak, alpha, floor):
        return floor + peak * (1 + position**2 / alpha**2) ** -3.0

    distance = np.hypot(x - x0, y - y0).ravel()
    (_, alpha, _), _ = curve_fit(moffat, distance, image[y, x].ravel(), p0=(1e4, 3.0, 0.0))
    fwhm = 2 * abs(alpha) * np.sqrt(2 ** (1 / 3) - 1)
    # A pixel widens the profile: its variance of 1/12 px² adds about 1/8 px² · FWHM⁻¹ each way.
    true = truth.conditions.fwhm_pix
    assert true - 0.02 < fwhm < true + 0.2


def test_throughput_falls_in_the_cloud_and_only_there():
    frames = build_scene(NightPlan()).frames
    clear = [frame.transparency for frame in frames if not frame.is_cloudy]
    cloudy = [frame.transparency for frame in frames if frame.is_cloudy]
    assert len(cloudy) == 5
    assert min(clear) > 0.97
    assert min(cloudy) == pytest.approx(0.35, abs=0.02)


def test_the_demo_night_stays_within_its_plan():
    plan = NightPlan()
    frames = build_scene(plan).frames
    fwhm = np.array([frame.fwhm_pix for frame in frames])
    assert (fwhm.min(), fwhm.max()) == pytest.approx((2.2, 3.8))
    assert np.abs(np.diff(fwhm)).max() < 0.15
    assert frames[-1].dx - frames[0].dx == pytest.approx(18.0, abs=2.5)
    assert frames[-1].rotation_deg - frames[0].rotation_deg == pytest.approx(0.05)
    assert 2.5 < (frames[-1].jd_utc_mid - frames[0].jd_utc_mid) * 24 < 3.0
    assert all(1.0 <= frame.airmass < 1.5 for frame in frames)


def test_few_stars_fill_the_well_and_the_faintest_drown():
    scene = build_scene(NightPlan())
    plan, stars = scene.plan, scene.stars
    best = min(scene.frames, key=lambda frame: frame.fwhm_pix)
    peak_e = stars.flux_e * best.psf(3.0).central_density
    assert 1 <= (peak_e > plan.camera.full_well_e).sum() <= 25
    noise_e = np.sqrt(best.sky_e + plan.camera.read_noise_e**2)
    assert peak_e.min() < 12 * noise_e
    assert np.ptp(stars.mag) == pytest.approx(8.4, abs=0.6)


def test_signals_sit_in_lonely_unsaturated_stars_that_stay_on_the_detector():
    for plan in (PLAN, NightPlan()):
        scene = build_scene(plan)
        assert len({signal.star for signal in scene.signals}) == 3
        for frame in scene.frames:
            x, y = frame.transform(plan.centre).apply(scene.stars.x, scene.stars.y)
            for signal in scene.signals:
                assert 40 <= x[signal.star] <= plan.width - 41
                assert 40 <= y[signal.star] <= plan.height - 41
                peak = scene.stars.flux_e[signal.star] * frame.psf(3.0).central_density
                assert peak < 0.6 * plan.camera.full_well_e


def test_the_transit_is_centred_where_the_truth_says():
    truth = NightTruth.of(build_scene(NightPlan()))
    bjd = np.array([frame.bjd_tdb_mid for frame in truth.frames])
    flux = build_scene(NightPlan()).relative_flux[0]
    assert flux.min() == pytest.approx(1 - 0.015)
    centroid = np.sum((1 - flux) * bjd) / np.sum(1 - flux)
    # The star's own light time differs from the centre's by under a second.
    assert (centroid - truth.transit.mid_bjd_tdb) * 86400 == pytest.approx(0.0, abs=10.0)
    assert bjd[0] < truth.transit.mid_bjd_tdb - truth.transit.duration_d / 2
    assert bjd[-1] > truth.transit.mid_bjd_tdb + truth.transit.duration_d / 2


def test_a_signal_of_size_zero_is_left_out():
    plan = replace(PLAN, signals=SignalPlan(transit_depth=0.0, eclipse_depth=0.0))
    truth = NightTruth.of(build_scene(plan))
    assert [signal.kind for signal in truth.signals] == ["pulsation"]
    with pytest.raises(LookupError, match="no transit"):
        _ = truth.transit


# --- flats ---------------------------------------------------------------------------------


def test_twilight_flats_fall_from_the_first_level_to_the_last():
    levels = [np.median(simulate(PLAN, FrameKind.FLAT, i).raw) - 1000.0 for i in range(5)]
    assert (levels[0], levels[-1]) == pytest.approx((32000.0, 14000.0), rel=0.02)
    assert levels == sorted(levels, reverse=True)


def test_flats_show_the_response():
    detector = build_scene(PLAN).detector
    plan = replace(PLAN, camera=replace(PLAN.camera, flat_kind=FlatKind.DOME))
    flats = [simulate(plan, FrameKind.FLAT, i).raw - detector.bias_adu for i in range(5)]
    ratio = np.mean(flats, axis=0) / (32000.0 * detector.response)
    good = ~(detector.is_dead | detector.is_hot | detector.is_warm)
    # Photon noise of five flats of 48000 e: 0.2 %.
    assert np.median(ratio[good]) == pytest.approx(1.0, abs=1e-3)
    assert np.std(ratio[good]) == pytest.approx(1 / np.sqrt(5 * 48000), rel=0.15)


# --- impossible plans ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exposure_s": 0.0}, "exposure"),
        ({"exposure_s": 61.0, "cadence_s": 60.0}, "cadence"),
        ({"width": 16}, "too small"),
        ({"n_stars": 2}, "too few"),
        ({"n_bias": -1}, "negative"),
    ],
)
def test_impossible_plans_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(PLAN, **change)


def test_a_light_that_is_not_in_the_plan_is_refused():
    with pytest.raises(IndexError, match="light 12 of a night of 12"):
        simulate_frame(PLAN, 12)


def test_no_processes_cannot_work(tmp_path):
    with pytest.raises(ValueError, match="give 1 or more"):
        simulate_night(PLAN, tmp_path, processes=0)


# --- what the mount and the optics do ------------------------------------------------------


def test_after_the_meridian_the_field_stands_on_its_head():
    still = Tracking((0.0, 0.0), worm_amplitude_pix=0.0, jitter_pix=0.0, rotation_deg=0.0)
    plan = replace(PLAN, tracking=replace(still, flip_fraction=0.5))
    truth = NightTruth.of(build_scene(plan))
    x, y = truth.positions(0)
    turned_x, turned_y = truth.positions(plan.n_light - 1)
    np.testing.assert_allclose([turned_x, turned_y], [255.0 - x, 255.0 - y], atol=1e-6)


def test_the_scale_runs_from_the_first_frame_to_the_last():
    plan = replace(PLAN, tracking=replace(PLAN.tracking, scale=(0.999, 1.001)))
    truth = NightTruth.of(build_scene(plan))
    scales = [truth.transform(i).scale for i in range(plan.n_light)]
    np.testing.assert_allclose(scales, np.linspace(0.999, 1.001, plan.n_light))


def test_a_scale_that_turns_the_field_inside_out_is_refused():
    with pytest.raises(ValueError, match=r"scales \(1.0, -1.0\) must be positive"):
        replace(PLAN, tracking=replace(PLAN.tracking, scale=(1.0, -1.0)))


def test_further_transits_have_hosts_of_their_own():
    more = tuple(TransitPlan(mag=13.0 + k, depth=0.01 * (k + 1)) for k in range(3))
    plan = replace(PLAN, signals=SignalPlan(more_transits=more))
    signals = build_scene(plan).signals
    assert [s.depth for s in signals if isinstance(s, Transit)] == [0.015, 0.01, 0.02, 0.03]
    assert len({s.star for s in signals}) == 6


def test_nights_of_one_reach_have_the_same_stars_however_they_drift():
    near = replace(PLAN, field=replace(PLAN.field, reach_pix=80.0))
    far = replace(near, tracking=replace(PLAN.tracking, drift_pix=(40.0, 10.0)))
    one, other = build_scene(near).stars, build_scene(far).stars
    np.testing.assert_array_equal(one.x, other.x)
    assert len(build_scene(PLAN).stars) != len(one)
