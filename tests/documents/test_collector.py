import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import event_model
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.plans import count
from ophyd import Signal
from ophyd.sim import SynSignal

from xas_bluesky.beamline_sim import SimulatedBeamline
from xas_bluesky.config import Channels, Settings
from xas_bluesky.decision.scan_request import ScanRequest
from xas_bluesky.documents import Collector
from xas_bluesky.errors import SpectrumError
from xas_bluesky.plans.xas_scan import measure, xas_scan

REQUEST = ScanRequest(2465.0 + np.arange(12.0), np.ones(12))
XAS = {"xas": {"edge": "S K"}, "sample_name": "gypsum"}


def edge(energy):
    return 0.5 + np.arctan((energy - 2472.0) / 0.3) / np.pi


@pytest.fixture
def beamline():
    return SimulatedBeamline(edge, "S K")


@pytest.fixture
def engine():
    return RunEngine({})


def points(beamline, request=REQUEST):
    return measure(beamline.energy, beamline.dwell, beamline.detectors, request)


def conventional(beamline, request=REQUEST):
    return xas_scan(beamline.energy, beamline.dwell, beamline.detectors, request, edge="S K", sample="gypsum")


def record(engine, plan):
    documents = []
    engine(plan, lambda name, doc: documents.append((name, doc)))
    return documents


def replay(documents, collector=None):
    collector = collector or Collector()
    for name, doc in documents:
        collector(name, doc)
    return collector


def same(one, other):
    return (
        np.array_equal(one.energy, other.energy)
        and one.channels.keys() == other.channels.keys()
        and all(np.array_equal(one.channels[name], other.channels[name]) for name in one.channels)
        and one.metadata == other.metadata
    )


def test_a_run_becomes_a_spectrum_with_the_readback_as_its_energy(engine, beamline):
    documents = record(engine, conventional(beamline))
    spectrum = replay(documents).spectrum()
    events = [doc["data"] for name, doc in documents if name == "event"]
    assert spectrum.energy.tolist() == [data["energy"] for data in events]
    assert not np.any(spectrum.energy == REQUEST.energy)
    assert {name: values.tolist() for name, values in spectrum.channels.items()} == {
        name: [data[name] for data in events] for name in ("i0", "fluorescence", "dwell", "energy_setpoint")
    }
    start, stop = documents[0][1], documents[-1][1]
    assert spectrum.metadata == {
        "uid": start["uid"],
        "edge": "S K",
        "sample": "gypsum",
        "exit_status": "success",
        "start_time": start["time"],
        "stop_time": stop["time"],
        "xdi": {
            "Element.symbol": "S",
            "Element.edge": "K",
            "Scan.edge_energy": "2472.0",
            "Sample.name": "gypsum",
        },
    }


def test_the_spectrum_grows_while_the_run_goes_on(engine, beamline):
    collector = Collector()
    engine.subscribe(collector)
    seen = []

    @bpp.run_decorator(md=XAS)
    def plan():
        for target in REQUEST.energy[:3]:
            yield from points(beamline, ScanRequest([target], [1.0]))
            spectrum = collector.spectrum()
            seen.append((len(spectrum), spectrum.energy[-1] == beamline.energy.position, dict(spectrum.metadata)))

    engine(plan())
    assert [number for number, *_ in seen] == [1, 2, 3]
    assert all(latest for _, latest, _ in seen)
    assert all("exit_status" not in metadata for *_, metadata in seen)


def test_an_event_page_equals_its_events(engine, beamline):
    documents = record(engine, conventional(beamline))
    events = [doc for name, doc in documents if name == "event"]
    page = event_model.pack_event_page(*events)
    paged = [item for item in documents if item[0] != "event"]
    paged.insert(2, ("event_page", page))
    assert same(replay(documents).spectrum(), replay(paged).spectrum())


def test_other_streams_are_left_out(engine, beamline):
    @bpp.run_decorator(md=XAS)
    def plan():
        baseline = [beamline.energy, beamline.dwell, beamline.scaler]
        yield from bps.trigger_and_read(baseline, name="baseline")
        yield from points(beamline)
        yield from bps.trigger_and_read(baseline, name="baseline")

    assert len(replay(record(engine, plan())).spectrum()) == len(REQUEST)


def test_nested_runs_are_told_apart(engine, beamline):
    low, high = (ScanRequest(start + np.arange(4.0), np.ones(4)) for start in (2450.0, 2490.0))

    @bpp.set_run_key_decorator("inner")
    @bpp.run_decorator(md={**XAS, "sample_name": "inner"})
    def inner():
        yield from points(beamline, high)

    @bpp.set_run_key_decorator("outer")
    @bpp.run_decorator(md={**XAS, "sample_name": "outer"})
    def outer():
        yield from points(beamline, low)
        yield from inner()
        yield from points(beamline, low)

    documents = record(engine, outer())
    outer_uid, inner_uid = (doc["uid"] for name, doc in documents if name == "start")
    collector = replay(documents)
    assert same(collector.spectrum(), collector.spectrum(inner_uid))
    assert np.allclose(collector.spectrum(inner_uid).energy, high.energy, atol=0.2)
    assert np.allclose(collector.spectrum(outer_uid).energy, np.tile(low.energy, 2), atol=0.2)
    assert collector.spectrum(outer_uid).metadata["sample"] == "outer"


def test_interleaved_runs_are_told_apart(engine, beamline):
    one, two = record(engine, conventional(beamline)), record(engine, conventional(beamline))
    mixed = [item for pair in zip(one, two, strict=True) for item in pair]
    collector = replay(mixed)
    for documents in (one, two):
        assert same(collector.spectrum(documents[0][1]["uid"]), replay(documents).spectrum())


def test_runs_that_are_no_absorption_scans_are_ignored(engine, beamline):
    collector = replay(record(engine, conventional(beamline)))
    before = collector.spectrum()
    temperature = SynSignal(name="temperature", func=lambda: 300.0)
    image = SynSignal(name="image", func=lambda: np.zeros((2, 2)))
    documents = record(engine, count([temperature, image], 3))
    replay(documents, collector)
    replay(record(engine, bpp.run_wrapper(bps.null())), collector)
    replay([("stream_datum", {"stream_resource": "unknown"}), ("stop", {"run_start": "unknown", "exit_status": "success"})])
    assert same(collector.spectrum(), before)
    with pytest.raises(SpectrumError, match="was not collected"):
        collector.spectrum(documents[0][1]["uid"])


def test_a_run_without_our_metadata_is_collected_by_the_settings(engine, beamline):
    documents = record(engine, bpp.run_wrapper(points(beamline)))
    assert len(replay(documents).spectrum()) == len(REQUEST)
    with pytest.raises(SpectrumError, match="was not collected"):
        replay(documents, Collector(Settings(channels=Channels(energy="dcm_energy")))).spectrum()


def test_a_run_that_lacks_channels_completes_and_is_reported(engine, beamline):
    collector = Collector()
    engine.subscribe(collector)
    (uid,) = engine(bpp.run_wrapper(bps.trigger_and_read([beamline.energy, beamline.dwell]), md=XAS))
    with pytest.raises(SpectrumError, match=rf"run {uid}: no absorption signal.*dwell, energy, energy_setpoint"):
        collector.spectrum()


def test_channels_that_are_no_numbers_are_reported(engine, beamline):
    documents = record(engine, conventional(beamline))
    events = [doc for name, doc in documents if name == "event"]
    events[3]["data"]["i0"] = None
    spectrum = replay(documents).spectrum()
    assert np.isnan(spectrum.channels["i0"]).nonzero()[0].tolist() == [3]
    events[3]["data"]["i0"] = "disconnected"
    again = replay(documents).spectrum()
    np.testing.assert_array_equal(again.channels["i0"], spectrum.channels["i0"])


def test_a_stream_described_again_goes_on(engine, beamline):
    gain = Signal(name="gain", value=1)

    @bpp.run_decorator(md=XAS)
    def plan():
        yield from points(beamline)
        yield from bps.configure(beamline.scaler, {})
        yield from points(beamline)
        yield from bps.mv(gain, 2)

    documents = record(engine, plan())
    assert sum(name == "descriptor" for name, _ in documents) == 2
    assert len(replay(documents).spectrum()) == 2 * len(REQUEST)


def test_an_aborted_run_keeps_its_points_and_says_so(engine, beamline):
    collector = Collector()
    engine.subscribe(collector)

    @bpp.run_decorator(md=XAS)
    def plan():
        yield from points(beamline)
        raise RuntimeError("the hutch was opened")

    with pytest.raises(RuntimeError, match="hutch"):
        engine(plan())
    assert len(collector.spectrum()) == len(REQUEST)
    assert collector.spectrum().metadata["exit_status"] == "fail"


def test_nothing_collected_yet(engine, beamline):
    with pytest.raises(SpectrumError, match="runs held: none"):
        Collector().spectrum()
    documents = record(engine, conventional(beamline))
    with pytest.raises(SpectrumError, match="no points"):
        replay(documents[:2]).spectrum()


def test_memory_is_bounded_but_an_open_run_stays(engine, beamline):
    short = ScanRequest([2470.0], [1.0])
    outer = record(engine, conventional(beamline))
    collector = replay(outer[:-3])
    runs = [record(engine, conventional(beamline, short)) for _ in range(20)]
    for documents in runs:
        replay(documents, collector)
    assert len(collector._runs) <= 8
    assert len(collector._streams) <= 8
    assert len(collector.spectrum(runs[-1][0][1]["uid"])) == 1
    with pytest.raises(SpectrumError, match="was not collected"):
        collector.spectrum(runs[0][0][1]["uid"])
    replay(outer[-3:], collector)
    assert len(collector.spectrum(outer[0][1]["uid"])) == len(REQUEST)


class CountingData(dict):
    """Count how often an event's data are looked at."""

    reads = 0

    def get(self, key):
        type(self).reads += 1
        return super().get(key)


def test_work_per_event_does_not_grow_with_the_run(engine, beamline):
    documents = record(engine, conventional(beamline))
    head = [item for item in documents if item[0] in ("start", "descriptor")]
    event = next(doc for name, doc in documents if name == "event")
    collector = replay(head)
    data = CountingData(event["data"])
    reads = []
    for seq_num in range(1, 3001):
        CountingData.reads = 0
        collector("event", {**event, "seq_num": seq_num, "data": data})
        reads.append(CountingData.reads)
    assert set(reads) == {5}  # energy and its setpoint, i0, fluorescence, dwell, however long the run is
    assert len(collector.spectrum()) == 3000
