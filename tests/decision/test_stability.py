import bluesky.plan_stubs as bps
import numpy as np
import pytest
from bluesky import RunEngine

from xas_bluesky.beamline_sim import BeamlineSettings, FragileSample, SimulatedBeamline
from xas_bluesky.beamline_sim.settings import COUNTING
from xas_bluesky.decision import Anchor, ScanRequest, correct, judge, sweeps_of
from xas_bluesky.documents import Collector
from xas_bluesky.errors import SettingsError
from xas_bluesky.plans import measure
from xas_bluesky.reduction import absorption
from xas_bluesky.spectra import Absorption

ANCHOR = Anchor(2460.0, 2475.0)


def sweeps(
    count, *, signal="fluorescence", drift=0.0, jump=0.0, damage=0.0, begins=1, slope=0.0, below=1e4, noise="photons", seed=0
):
    """Simulate `count` sweeps of the two anchors, 15 s each, with counting noise: absorption, sweep, time.

    `drift` per hour and `jump` per sweep move both anchors, `damage` per sweep from `begins` on the sensitive one.
    """
    random = np.random.default_rng(seed)
    sweep = np.repeat(np.arange(count), 2)
    sensitive = np.tile([0.0, 1.0], count)
    time = 7.5 * np.arange(2 * count)
    energy = np.tile(ANCHOR.energies, count) + 0.02 * random.standard_normal(2 * count)
    moved = drift * time / 3600 + np.repeat(jump * random.standard_normal(count), 2)
    moved = moved + sensitive * (damage * np.maximum(sweep - begins + 1, 0) + slope * (energy - ANCHOR.energy_sensitive))
    if signal == "fluorescence":
        counts = np.maximum(random.poisson(np.where(sensitive, 3e5, below) * np.exp(moved)), 1)
        return Absorption(energy, counts / 1e8, counts / 1e16, signal, noise), sweep, time
    mu = 0.1 + 2.9 * sensitive + moved
    return (
        Absorption(energy, mu + 3e-3 * random.standard_normal(2 * count), np.full(2 * count, 9e-6), signal, noise),
        sweep,
        time,
    )


def first_alarm(measured, sweep, time, **options):
    """Judge after each sweep, as a plan does; return the number of sweeps at the first alarm, or None."""
    for count in range(2, int(sweep.max()) + 2):
        seen = sweep < count
        part = Absorption(measured.energy[seen], measured.mu[seen], measured.variance[seen], measured.signal, measured.noise)
        if judge(part, sweep[seen], time[seen], ANCHOR, **options).changed is not None:
            return count
    return None


@pytest.mark.parametrize(
    "beamline",
    [
        {},
        {"drift": 0.5},
        {"jump": 0.01},
        {"jump": 0.01, "slope": 1.5},
        {"jump": 0.02, "below": 400},
        {"signal": "transmission", "jump": 0.005, "drift": -0.5},
    ],
)
def test_a_sample_that_stays_the_same_is_rarely_said_to_change(beamline):
    alarms = sum(first_alarm(*sweeps(5, seed=seed, **beamline), false_alarm=0.05) is not None for seed in range(60))
    assert alarms <= 3  # 5 % of 60 runs of 5 sweeps; the bound is generous


@pytest.mark.parametrize("signal", ["fluorescence", "transmission"])
@pytest.mark.parametrize("beamline", [{}, {"drift": 0.5}, {"slope": 1.5}])
def test_damage_is_seen_in_the_sweep_where_it_begins(signal, beamline):
    measured, sweep, time = sweeps(6, signal=signal, damage=-0.1, begins=4, **beamline)
    stability = judge(measured, sweep, time, ANCHOR)
    assert stability.changed == 4
    assert "from sweep 5 on its absorption at 2475.0 eV" in stability.reason
    assert "that below the edge is not: radiation damage" in stability.reason
    assert first_alarm(measured, sweep, time) == 5


def test_damage_of_one_percent_a_sweep_is_seen_soon_even_while_i0_jumps():
    alarms = [first_alarm(*sweeps(12, damage=-0.01, seed=seed)) for seed in range(10)]
    assert all(alarms)
    assert np.median(alarms) <= 8
    assert first_alarm(*sweeps(12, damage=-0.02, jump=0.02)) is not None


@pytest.mark.parametrize("signal", ["fluorescence", "transmission"])
def test_offsets_and_drift_are_found_within_their_error(signal):
    found = [judge(*sweeps(8, signal=signal, drift=0.4, jump=0.03, seed=seed), ANCHOR) for seed in range(40)]
    assert all(stability.changed is None for stability in found)
    pulls = []
    for seed, stability in enumerate(found):
        random = np.random.default_rng(seed)
        random.standard_normal(16)
        offset = 0.03 * random.standard_normal(8) + 0.4 * 15.0 * np.arange(8) / 3600
        pulls.extend((stability.offset - (offset - offset[0]))[1:] / np.sqrt(stability.variance[1:]))
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1.0, abs=0.25)


def test_drift_is_per_hour_with_its_error():
    measured, sweep, time = sweeps(30, drift=0.5)
    stability = judge(measured, sweep, 10 * time, ANCHOR)  # so slow that it is 0.05 per hour
    assert abs(stability.drift - 0.05) < 3 * stability.drift_sd < 0.03


def test_what_the_beamline_did_is_taken_out_and_its_variance_added():
    measured, sweep, time = sweeps(6, jump=0.05)
    stability = judge(measured, sweep, time, ANCHOR)
    corrected = correct(measured, sweep, stability)
    line = sweep * 2 + 1
    assert np.std(measured.mu[line]) > 0.02 * np.mean(measured.mu[line])
    assert np.std(corrected.mu[line]) < 0.01 * np.mean(corrected.mu[line])
    variance = (measured.variance + measured.mu**2 * stability.variance[sweep]) * np.exp(-2 * stability.offset[sweep])
    assert corrected.variance == pytest.approx(variance, rel=1e-12)
    assert np.array_equal(corrected.variance[sweep == 0], measured.variance[sweep == 0])
    assert corrected.energy.tolist() == measured.energy.tolist()


def test_where_nothing_moved_nothing_much_is_taken_out():
    """An offset is removed as far as the anchors show it: their own noise must not be spread over a whole sweep."""
    offsets = [judge(*sweeps(6, seed=seed), ANCHOR).offset[1:] for seed in range(20)]
    assert np.std(offsets) < 0.005  # the anchor below the edge alone would say it to 0.014


def test_sweeps_after_a_change_weigh_nothing():
    measured, sweep, time = sweeps(6, damage=-0.1, begins=4)
    stability = judge(measured, sweep, time, ANCHOR)
    corrected = correct(measured, sweep, stability)
    assert np.array_equal(corrected.usable, sweep < 4)
    assert np.array_equal(corrected.flags["sample changed"], sweep >= 4)
    assert corrected.remarks == (stability.reason,)


def test_a_variance_that_nobody_counted_is_not_believed():
    def alarms(count, **beamline):
        found = []
        for seed in range(20):
            measured, sweep, time = sweeps(count, seed=seed, noise="scatter", **beamline)
            wrong = Absorption(measured.energy, measured.mu, measured.variance * 1e-4, measured.signal, measured.noise)
            found.append(judge(wrong, sweep, time, ANCHOR).changed)
        return [changed for changed in found if changed is not None]

    assert alarms(8) == []
    assert len(alarms(12, damage=-0.05, begins=5)) == 20


def test_what_a_beamline_does_not_reproduce_is_no_damage():
    for seed in range(20):
        measured, sweep, time = sweeps(8, seed=seed)
        wobble = 1 + 0.002 * np.random.default_rng(1000 + seed).standard_normal(len(measured))
        bright = Absorption(measured.energy, np.tile([1e-4, 3e-3], 8) * wobble, np.full(16, 1e-16), "fluorescence", "photons")
        assert judge(bright, sweep, time, ANCHOR).changed is None


def test_with_nothing_below_the_edge_a_change_is_a_change():
    measured, sweep, time = sweeps(8, jump=0.05, below=3)  # too few counts to be used
    stability = judge(measured, sweep, time, ANCHOR)
    assert stability.changed is not None
    assert "nothing below the edge tells it from a drift of the beamline" in stability.reason
    assert judge(*sweeps(8, below=3), ANCHOR).changed is None


def test_sweeps_without_anchors_get_what_the_drift_says():
    measured, sweep, time = sweeps(9, drift=2.0)
    lost = np.isin(sweep, [3, 8])
    part = Absorption(measured.energy + 5.0 * lost, measured.mu, measured.variance, measured.signal, measured.noise)
    stability = judge(part, sweep, 30 * time, ANCHOR)
    whole = judge(measured, sweep, 30 * time, ANCHOR)
    assert stability.offset == pytest.approx(whole.offset, abs=4e-3)
    assert stability.variance[8] > stability.variance[7]


def test_before_there_are_two_sweeps_nothing_is_said():
    measured, sweep, time = sweeps(1)
    stability = judge(measured, sweep, time, ANCHOR)
    assert (stability.changed, stability.offset.tolist()) == (None, [0.0])
    assert np.array_equal(correct(measured, sweep, stability).mu, measured.mu)
    nothing = Absorption(np.array([]), np.array([]), np.array([]))
    assert judge(nothing, sweeps_of(nothing.energy), np.array([]), ANCHOR).changed is None


def test_sweep_numbers_of_other_points_are_refused():
    measured, sweep, time = sweeps(3)
    with pytest.raises(SettingsError, match="6 points, 5 sweeps and 6 times"):
        judge(measured, sweep[:-1], time, ANCHOR)
    stability = judge(measured, sweep, time, ANCHOR)
    with pytest.raises(SettingsError, match="3 sweeps judged; judge the same points first"):
        correct(measured, sweep + 1, stability)


def white_line(energy):
    x = energy - 2472.0
    return 0.5 + np.arctan(x / 0.3) / np.pi + 2.0 * np.exp(-0.5 * ((x - 3.0) / 1.0) ** 2)


@pytest.mark.parametrize("mode", ["fluorescence", "transmission"])
@pytest.mark.parametrize(
    ("sample", "damaged"), [(white_line, False), (FragileSample(white_line, lambda e: e * 0, 2e11), True)]
)
def test_on_a_beamline_that_drifts_only_a_damaged_sample_has_changed(mode, sample, damaged):
    beamline = SimulatedBeamline(sample, "S K", BeamlineSettings(mode=mode, i0_drift=0.3, seed=2))
    request = ANCHOR.added_to(ScanRequest([2470.0, 2472.0, 2480.0, 2490.0], np.ones(4)))
    collector, ends = Collector(COUNTING), []

    def plan():
        yield from bps.open_run({"sample_name": "known", "xas": {"edge": "S K"}})
        for _ in range(12):
            yield from measure(beamline.energy, beamline.dwell, beamline.detectors, request)
        yield from bps.close_run()

    engine = RunEngine({})
    engine.subscribe(collector)
    engine.subscribe(lambda *_: ends.append(beamline.elapsed), "event")
    engine(plan())
    measured = absorption(collector.spectrum(), settings=COUNTING)
    sweep = sweeps_of(measured.energy)
    assert sweep.tolist() == np.repeat(np.arange(12), 6).tolist()
    assert (judge(measured, sweep, np.array(ends), ANCHOR).changed is not None) == damaged
