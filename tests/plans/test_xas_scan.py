import threading
import time

import bluesky.preprocessors as bpp
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import FailedStatus, RunEngineInterrupted
from ophyd.status import DeviceStatus

from xas_bluesky.beamline_sim import BeamlineSettings, SimulatedBeamline
from xas_bluesky.config import Channels, Mono, Settings
from xas_bluesky.decision.scan_request import ScanRequest, regions
from xas_bluesky.errors import EdgeError, SettingsError
from xas_bluesky.plans.xas_scan import measure, xas_scan


def edge(energy):
    return 0.5 + np.arctan((energy - 2472.0) / 0.3) / np.pi


def run(request, beamline=None, **options):
    beamline = beamline or SimulatedBeamline(edge, "S K", BeamlineSettings(mode="transmission"))
    documents = []
    options = {"edge": "s_k", "sample": "gypsum", **options}
    plan = xas_scan(beamline.energy, beamline.dwell, beamline.detectors, request, **options)
    result = RunEngine({}, call_returns_result=True)(plan, lambda name, doc: documents.append((name, doc)))
    return documents, result.plan_result


def test_one_run_with_one_event_per_point():
    request = regions(2472.0, [-10, 0, 10], [2, 1], [0.5, 1.5])
    documents, uid = run(request, md={"proposal": 42, "xas": "not to be replaced"})
    (start,) = (doc for name, doc in documents if name == "start")
    (descriptor,) = (doc for name, doc in documents if name == "descriptor")
    assert start["uid"] == uid
    assert start["plan_name"] == "xas_scan"
    assert start["sample_name"] == "gypsum"
    assert start["xas"] == {"edge": "S K"}
    assert start["proposal"] == 42
    assert start["num_points"] == len(request)
    assert descriptor["name"] == "primary"
    assert list(descriptor["data_keys"]) == ["energy", "energy_setpoint", "dwell", "i0", "itrans", "irefer"]
    events = [doc["data"] for name, doc in documents if name == "event"]
    assert [data["energy_setpoint"] for data in events] == request.energy.tolist()
    assert [data["dwell"] for data in events] == request.dwell.tolist()


def test_other_names_go_into_the_start_document():
    documents, _ = run(ScanRequest([2470.0], [1.0]), settings=Settings(channels=Channels(i0="I0"), noise={"i0": "photons"}))
    start = documents[0][1]
    assert start["xas"] == {"edge": "S K", "channels": {"i0": "I0"}, "noise": {"i0": "photons"}}


def test_an_unknown_edge_stops_before_anything_moves():
    beamline = SimulatedBeamline(edge, "S K")
    with pytest.raises(EdgeError, match="'sulfur'"):
        run(ScanRequest([2470.0], [1.0]), beamline, edge="sulfur")
    assert beamline.elapsed == 0.0


def test_the_dwell_is_set_where_it_changes():
    beamline = SimulatedBeamline(edge, "S K")
    request = ScanRequest(2470.0 + np.arange(5), [1, 1, 2, 2, 1])
    messages = measure(beamline.energy, beamline.dwell, beamline.detectors, request)
    moved = [(message.obj, message.args[0]) for message in messages if message.command == "set"]
    assert [value for device, value in moved if device is beamline.dwell] == [1, 2, 1]
    assert [value for device, value in moved if device is beamline.energy] == request.energy.tolist()


class Moves:
    """Where the mono of a beamline is sent, and when."""

    def __init__(self, beamline):
        self.beamline, self.energies, self.times = beamline, [], []
        move = beamline.energy.set
        beamline.energy.set = lambda energy: self._noted(energy) and move(energy)

    def _noted(self, energy):
        self.energies.append(energy)
        self.times.append(time.monotonic())
        return True

    def measured(self, energies, engine=None, **mono):
        """Measure with a mono of these settings; return what the events say of the setpoints."""
        beamline, found = self.beamline, []
        request = ScanRequest(energies, [1.0] * len(energies))
        plan = measure(beamline.energy, beamline.dwell, beamline.detectors, request, Mono(**mono))
        engine = engine or RunEngine({})
        engine.subscribe(lambda _, doc: found.append(doc["data"]["energy_setpoint"]), "event")
        engine(bpp.run_wrapper(plan))
        return found


@pytest.fixture
def moves():
    return Moves(SimulatedBeamline(edge, "S K"))


def test_a_sweep_comes_from_below_and_settles(moves):
    assert moves.measured([2470.0, 2475.0], backlash=5, settle=0.2) == [2470.0, 2475.0]
    assert moves.energies == [2465.0, 2470.0, 2475.0]
    assert moves.times[1] - moves.times[0] >= 0.2
    moves.measured([2471.0])
    assert moves.energies[3:] == [2471.0]


@pytest.mark.parametrize("at", [1, 2])
def test_a_sweep_that_was_paused_comes_from_below_again(moves, at):
    engine, found = RunEngine({}), []

    def pause(_, doc):
        found.append(doc["data"]["energy_setpoint"])
        if len(found) == at:
            threading.Thread(target=engine.request_pause).start()
            time.sleep(0.2)  # holds the run at this point until the request is in

    engine.subscribe(pause, "event")
    with pytest.raises(RunEngineInterrupted):
        moves.measured([2470.0, 2475.0, 2480.0], engine, backlash=5)
    before = len(moves.energies)
    moves.beamline.energy.set(2400.0)  # somebody moves the mono meanwhile
    engine.resume()
    next_point = moves.energies[before + 2]
    assert moves.energies[before + 1] == next_point - 5
    assert moves.energies[before + 3 :] == [energy for energy in (2475.0, 2480.0) if energy > next_point]
    assert found[-1] == 2480.0
    assert sorted(set(found)) == [2470.0, 2475.0, 2480.0]


def test_a_mono_that_does_not_arrive_ends_the_sweep(moves):
    def fail(_):
        status = DeviceStatus(moves.beamline.energy)
        status.set_exception(TimeoutError("no answer"))
        return status

    moves.beamline.energy.set = fail
    with pytest.raises(FailedStatus) as error:
        moves.measured([2470.0], backlash=5)
    assert "no answer" in str(error.value.__cause__)


def test_neither_the_backlash_nor_a_point_leaves_the_limits(moves):
    beamline = SimulatedBeamline(edge, "S K")
    request = ScanRequest([2460.0, 2470.0, 2475.0, 2490.0], [1] * 4)
    documents, _ = run(request, beamline, settings=Settings(mono=Mono(backlash=5, low=2468.0, high=2480.0)))
    assert documents[0][1]["num_points"] == 2
    assert [doc["data"]["energy_setpoint"] for name, doc in documents if name == "event"] == [2470.0, 2475.0]
    moves.measured([2470.0], backlash=5, low=2468.0)
    assert moves.energies == [2468.0, 2470.0]


def test_a_scan_outside_the_limits_is_refused_before_anything_moves():
    beamline = SimulatedBeamline(edge, "S K")
    with pytest.raises(SettingsError, match="lies outside"):
        run(ScanRequest([2470.0], [1.0]), beamline, settings=Settings(mono=Mono(low=8000.0)))
    assert beamline.elapsed == 0.0
