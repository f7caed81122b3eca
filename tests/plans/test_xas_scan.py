import numpy as np
import pytest
from bluesky import RunEngine

from xas_bluesky.beamline_sim import BeamlineSettings, SimulatedBeamline
from xas_bluesky.config import Channels, Settings
from xas_bluesky.decision.scan_request import ScanRequest, regions
from xas_bluesky.errors import EdgeError
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
