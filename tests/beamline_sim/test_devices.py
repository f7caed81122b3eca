import threading

import numpy as np
import pytest

from xas_bluesky.beamline_sim import BeamlineSettings, SimulatedBeamline
from xas_bluesky.errors import SettingsError

E0 = 2472.0


def step(energy):
    return (energy > E0).astype(float)


def test_readback_misses_the_setpoint_a_little_and_repeats_for_a_seed():
    def tour(seed):
        beamline = SimulatedBeamline(step, "S K", BeamlineSettings(seed=seed))
        readbacks = []
        for target in np.linspace(2440.0, 2500.0, 200):
            beamline.energy.set(target)
            readbacks.append(beamline.energy.position - target)
        return np.array(readbacks)

    deviations = tour(3)
    assert np.all(deviations != 0)
    assert np.std(deviations) == pytest.approx(BeamlineSettings().readback_deviation, rel=0.2)
    assert np.array_equal(deviations, tour(3))
    assert not np.array_equal(deviations, tour(4))


def test_moves_take_distance_over_speed_plus_settling():
    beamline = SimulatedBeamline(step, "S K", BeamlineSettings(speed=4.0, settle=0.5))
    beamline.energy.set(E0)
    before = beamline.elapsed
    assert beamline.energy.set(E0 + 10.0).done
    assert beamline.elapsed - before == pytest.approx(10.0 / 4.0 + 0.5)
    there = beamline.energy.position
    assert beamline.energy.set(E0 + 10.0).done  # it is there already
    assert beamline.elapsed - before == pytest.approx(3.0)
    assert beamline.energy.position == there


@pytest.mark.parametrize("value", [float("nan"), -1.0, 0.0])
def test_bad_targets_are_refused(value):
    beamline = SimulatedBeamline(step, "S K")
    with pytest.raises(SettingsError, match="energy: got"):
        beamline.energy.set(value)
    with pytest.raises(SettingsError, match="dwell: got"):
        beamline.dwell.set(value)


@pytest.mark.parametrize(
    ("mode", "names"), [("fluorescence", ["i0", "fluorescence"]), ("transmission", ["i0", "itrans", "irefer"])]
)
def test_data_keys(mode, names):
    beamline = SimulatedBeamline(step, "S K", BeamlineSettings(mode=mode))
    assert list(beamline.energy.read()) == ["energy", "energy_setpoint"]
    assert list(beamline.dwell.read()) == ["dwell"]
    assert list(beamline.scaler.read()) == names == list(beamline.scaler.describe())


def test_without_time_scale_no_thread_is_started():
    beamline = SimulatedBeamline(step, "S K")
    threads = threading.active_count()
    statuses = [beamline.energy.set(2500.0), beamline.dwell.set(100.0), beamline.scaler.trigger()]
    assert all(status.done and status.success for status in statuses)
    assert threading.active_count() == threads


def test_with_a_time_scale_the_status_finishes_later():
    beamline = SimulatedBeamline(step, "S K", BeamlineSettings(time_scale=0.05, settle=1.0))
    status = beamline.energy.set(2480.0)
    assert not status.done
    assert beamline.elapsed == 0.0
    status.wait(timeout=10)
    assert beamline.energy.position == pytest.approx(2480.0, abs=0.2)
    assert beamline.elapsed == pytest.approx((2480.0 - 2472.0) / 10.0 + 1.0)
    counting = beamline.scaler.trigger()
    assert beamline.photons == 0.0
    counting.wait(timeout=10)
    assert beamline.photons == 1e9


def test_the_stage_takes_its_time_and_has_the_slots_of_the_samples():
    beamline = SimulatedBeamline([step] * 4, "S K", BeamlineSettings(travel=3.0))
    assert list(beamline.stage.read()) == ["stage"]
    assert beamline.stage.position == 0
    assert beamline.stage.set(3).done
    assert (beamline.stage.position, beamline.elapsed) == (3, 9.0)
    beamline.stage.set(3)
    assert beamline.elapsed == 9.0
    beamline.stage.set(2.0)  # as a plan may spell it
    assert (beamline.stage.position, beamline.elapsed) == (2, 12.0)


@pytest.mark.parametrize("slot", [-1, 2, 0.5, float("nan")])
def test_a_slot_that_is_not_there_is_refused(slot):
    beamline = SimulatedBeamline([step, step], "S K")
    with pytest.raises(SettingsError, match=r"stage: got .*, expected a slot from 0 to 1"):
        beamline.stage.set(slot)


def test_backlash_shows_after_moves_down_and_is_taken_up_on_the_way_up():
    beamline = SimulatedBeamline(step, "S K", BeamlineSettings(backlash=0.5, readback_deviation=0.0))
    lags = []
    for target in (2480.0, 2470.0, 2470.25, 2471.0, 2470.75, 2460.0):
        beamline.energy.set(target)
        lags.append(beamline.energy.actual - beamline.energy.position)
    assert lags == pytest.approx([0.0, 0.5, 0.25, 0.0, 0.25, 0.5])


def test_without_backlash_the_readback_is_the_true_energy():
    beamline = SimulatedBeamline(step, "S K")
    for target in (2480.0, 2470.0, 2475.0):
        beamline.energy.set(target)
        assert beamline.energy.actual == beamline.energy.position
