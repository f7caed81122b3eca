"""The devices that beamline.toml names, driven by a RunEngine, against a served beamline that is disturbed."""

import re
import threading
import time
import tomllib
from importlib.resources import as_file, files
from pathlib import Path

import bluesky.plan_stubs as bps
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import FailedStatus, RunEngineInterrupted

from xas_bluesky.config import Settings
from xas_bluesky.decision import Budget
from xas_bluesky.decision.scan_request import ScanRequest, regions
from xas_bluesky.devices import connect_devices
from xas_bluesky.devices.telling import WritePV
from xas_bluesky.documents import Collector
from xas_bluesky.errors import DeviceError, SettingsError
from xas_bluesky.files import read_spectrum
from xas_bluesky.plans import limits_of, xas_scan
from xas_bluesky.reduction import absorption, normalize, reduce_scan
from xas_bluesky.session import Session

E0 = 2472.0


@pytest.fixture(scope="module")
def devices(ioc):
    return connect_devices(ioc.settings())


@pytest.fixture
def switch(ioc, devices):  # noqa: ARG001  (they say where the server is)
    """Set a PV of the simulation; faults are switched off again."""
    made, resting = {}, {"sim:stall": 0, "sim:nan": 0, "sim:hang": 0, "sim:dump": 0, "mono.VELO": 10.0}

    def to(name, value):
        if name not in made:
            made[name] = WritePV(ioc.prefix + name, name=name, setting="test", answer=10.0, put_complete=True)
            made[name].wait_for_connection()
        made[name].set(value).wait(10)

    yield to
    for name in made.keys() & resting.keys():
        to(name, resting[name])


@pytest.fixture
def engine():
    return RunEngine({}, call_returns_result=True)


def scan(engine, devices, request, at_point=None):
    """Run a conventional scan; gives what was collected, and the stop document."""
    collector, stops, points = Collector(settings=devices.settings), [], []

    def watch(name, document):
        if name == "stop":
            stops.append(document)
        elif name == "event":
            points.append(document["seq_num"])
            if at_point and len(points) == at_point[0]:
                at_point[1]()

    tokens = [engine.subscribe(collector), engine.subscribe(watch)]
    plan = xas_scan(
        devices.energy,
        devices.dwell,
        devices.detectors,
        request,
        edge="S K",
        sample="known",
        settings=devices.settings,
    )
    try:
        engine(plan)
    except FailedStatus as error:
        return collector, stops[0], error
    except DeviceError as error:
        return collector, stops[0], error
    finally:
        for token in tokens:
            engine.unsubscribe(token)
    return collector, stops[0], None


SHORT = ScanRequest(E0 + np.arange(12.0), np.ones(12))


@pytest.mark.slow
def test_a_conventional_scan_measures_the_known_spectrum(engine, devices):
    engine(bps.mv(devices.stage, 0))
    request = regions(E0, [-25, -5, 20, 45], [5, 0.5, 2.5], [1, 2, 1])
    collector, stop, failed = scan(engine, devices, request)
    assert (failed, stop["exit_status"]) == (None, "success")
    spectrum = collector.spectrum()
    assert set(spectrum.channels) >= {"i0", "itrans", "irefer", "dwell", "fluorescence_4", "icr_4", "ocr_4"}
    assert spectrum.energy == pytest.approx(request.energy, abs=0.15)
    assert spectrum.channels["dwell"] == pytest.approx(request.dwell)
    with as_file(files("xas_bluesky") / "data" / "measured" / "methionine_sulfone.csv") as path:
        truth = normalize(absorption(read_spectrum(path)))
    for mode in ("transmission", "fluorescence"):
        reduced = reduce_scan(spectrum, devices.settings.overridden({"mode": mode}, "test"))
        assert reduced.normalized is not None
        expected = np.interp(reduced.normalized.energy, truth.energy, truth.norm)
        assert np.corrcoef(expected, reduced.normalized.norm)[0, 1] > 0.995, mode
        assert reduced.absorption.usable.all(), mode


def test_an_adaptive_scan_runs_over_channel_access(engine, devices, laboratory, kept):
    session = Session(devices, laboratory, kept)
    outcome = engine(session.agent_xas(laboratory.candidates, "S K", "known", budget=Budget(points=40))).plan_result
    assert 10 < outcome.spent.points <= 40
    assert kept.records
    assert outcome.answer is not None


def test_an_adaptive_scan_outlives_a_detector_that_says_nan(engine, devices, switch, laboratory, kept):
    points = []

    def go_wrong(name, document):
        if name == "event":
            points.append(document["data"]["itrans"])
            if len(points) in (4, 8):
                switch("sim:nan", {4: "itrans", 8: "none"}[len(points)])

    engine.subscribe(go_wrong)
    session = Session(devices, laboratory, kept)
    outcome = engine(session.agent_xas(laboratory.candidates, "S K", "known", budget=Budget(points=40))).plan_result
    assert 4 <= np.isnan(points).sum() < outcome.spent.points / 2
    assert outcome.answer is not None
    assert np.isfinite(outcome.steps[-1].absorption.mu[outcome.steps[-1].absorption.usable]).all()


def test_the_limits_of_the_record_reach_the_plans(devices, switch):
    assert limits_of(devices.energy, devices.settings.mono) == (E0 - 1000, E0 + 1000)
    with pytest.raises(SettingsError, match=r"energy: 4000 lies outside the limits of TEST:mono, 1472 to 3472"):
        devices.energy.set(4000.0)
    switch("mono.HLM", E0 + 20)
    end = time.monotonic() + 10
    while devices.energy.limits[1] != E0 + 20:
        assert time.monotonic() < end
        time.sleep(0.01)
    switch("mono.HLM", E0 + 1000)


def test_the_shutter_is_closed_and_says_so(engine, devices):
    for word, bright in (("Close", False), ("Close", False), ("Open", True)):
        engine(bps.mv(devices.shutter, word))
        assert devices.shutter.read()["shutter"]["value"] == word
        engine(bps.trigger(devices.detectors[0], wait=True))
        assert (devices.detectors[0].read()["i0"]["value"] > 1000) == bright
    with pytest.raises(SettingsError, match="'Ajar'"):
        devices.shutter.set("Ajar")


def test_the_stage_goes_to_slots(engine, devices):
    engine(bps.mv(devices.stage, 1))
    assert devices.stage.read()["stage"]["value"] == 1
    assert devices.stage.read()["stage_motor"]["value"] == 10.0
    engine(bps.mv(devices.stage, 0))
    with pytest.raises(SettingsError, match="expected a slot from 0 to 1"):
        devices.stage.set(2)


def test_a_dead_beam_is_seen_by_the_ring_current_and_flagged(engine, devices, switch):
    seen = []

    def note(value, **_):
        seen.append(value)

    devices.ring_current.subscribe(note)
    collector, stop, _ = scan(engine, devices, SHORT, (6, lambda: switch("sim:dump", 1)))
    devices.ring_current.clear_sub(note)
    assert stop["exit_status"] == "success"
    assert (seen[0], seen[-1]) == (400.0, 0.0)
    i0 = collector.spectrum().channels["i0"]
    assert i0[:5].min() > 1e7
    assert i0[7:].max() < 100


def test_a_detector_that_says_nan_costs_its_points_only(engine, devices, switch):
    for broken in ("itrans", "fluorescence"):
        engine(bps.mv(devices.energy, E0 - 20))

        def mend(name, document):
            if name == "event" and document["seq_num"] == 12:
                switch("sim:nan", "none")

        request = regions(E0, [-25, -5, 20, 45], [5, 1, 2.5], [1, 1, 1])
        token = engine.subscribe(mend)
        collector, stop, _ = scan(engine, devices, request, (9, lambda broken=broken: switch("sim:nan", broken)))
        engine.unsubscribe(token)
        assert stop["exit_status"] == "success"
        mode = {"itrans": "transmission"}.get(broken, "fluorescence")
        reduced = reduce_scan(collector.spectrum(), devices.settings.overridden({"mode": mode}, "test"))
        lost = reduced.absorption.flags["not a number"]
        assert 0 < lost.sum() < len(lost) / 2
        assert not reduced.absorption.usable[lost].any()
        assert reduced.normalized is not None
        assert np.isfinite(reduced.normalized.norm).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "value", "message"),
    [
        ("sim:stall", "mono", r"TEST:mono to 24\d\d: not done within 3 s; see whether it stalls, .* \[devices.energy\]"),
        ("sim:hang", 1, r"TEST:scaler:start to count: not done within \d s; see the detector, .* \[devices.counters.scaler\]"),
    ],
)
def test_what_never_ends_fails_the_plan_in_time(engine, devices, switch, fault, value, message):
    began = time.monotonic()
    collector, stop, failed = scan(engine, devices, SHORT, (3, lambda: switch(fault, value)))
    assert time.monotonic() - began < 15
    assert stop["exit_status"] == "fail"
    with pytest.raises(FailedStatus, match=message):
        raise failed
    assert stop["reason"] == str(failed)
    assert len(collector.spectrum()) == 3  # what was measured is there
    switch(fault, 0)
    assert scan(engine, devices, SHORT)[1]["exit_status"] == "success"


def test_a_motor_that_someone_stops_on_its_way_has_not_arrived(devices, switch):
    switch("mono.VELO", 0.01)
    order = devices.energy.set(E0 + 300)
    time.sleep(0.3)
    switch("mono.STOP", 1)
    with pytest.raises(DeviceError, match=r"TEST:mono to 2772: it stopped at 2\d\d\d.*farther than tolerance"):
        order.wait(10)


@pytest.mark.slow
def test_a_server_that_dies_fails_the_plan_and_is_found_again(engine, devices, ioc):
    began = time.monotonic()
    collector, stop, failed = scan(engine, devices, SHORT, (3, ioc.kill))
    assert time.monotonic() - began < 20
    assert stop["exit_status"] == "fail"
    assert "TEST:" in str(failed)
    assert "see that its IOC runs" in str(failed)
    assert 2 <= len(collector.spectrum()) <= 3
    for move in (lambda: devices.energy.set(E0), lambda: devices.dwell.set(1.0), lambda: devices.detectors[0].read()):
        with pytest.raises(DeviceError, match=r"TEST:\S+ \(\[devices\S* .*\) does not answer.*see that its IOC runs"):
            move()
    ioc.start()
    for device in (devices.energy, devices.dwell, devices.detectors[0], devices.shutter, devices.stage.motor):
        device.wait_for_connection(timeout=60)
    devices.ring_current.wait_for_connection(timeout=60)
    assert scan(engine, devices, SHORT)[1]["exit_status"] == "success"


def test_a_detector_without_a_pv_for_done_has_counted_when_the_put_completes(engine, ioc, switch):
    settings = ioc.settings()
    table = settings.devices.counters["scaler"].model_copy(update={"done": None})
    without = settings.model_copy(update={"devices": settings.devices.model_copy(update={"counters": {"scaler": table}})})
    devices = connect_devices(without)
    switch("scaler:dwell", 2.0)
    engine(bps.trigger(devices.detectors[0], wait=True))
    long = devices.detectors[0].read()["i0"]["value"]
    switch("scaler:dwell", 1.0)
    engine(bps.trigger(devices.detectors[0], wait=True))
    assert long == pytest.approx(2 * devices.detectors[0].read()["i0"]["value"], rel=0.01)


@pytest.mark.slow
def test_a_pause_stops_the_mono_and_the_scan_goes_on(engine, devices, switch):
    switch("mono.VELO", 0.02)

    def pause():
        threading.Timer(0.5, engine.request_pause).start()

    with pytest.raises(RunEngineInterrupted):
        scan(engine, devices, ScanRequest(E0 + 30 * np.arange(3.0), np.ones(3)), (1, pause))
    assert engine.state == "paused"
    at = devices.energy.user_readback.get(use_monitor=False)
    assert E0 < at < E0 + 30
    time.sleep(0.3)
    assert devices.energy.user_readback.get(use_monitor=False) == at
    switch("mono.VELO", 10.0)
    assert engine.resume().exit_status == "success"
    assert devices.energy.position == pytest.approx(E0 + 60, abs=0.2)


def test_the_example_of_the_documentation_is_one(ioc):
    page = (Path(__file__).parents[2] / "docs" / "beamline.md").read_text()
    example = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    settings = Settings.read(tomllib.loads(example[1]), "docs/beamline.md")
    assert settings.channels.fluorescence == ("S1", "S2")
    here = {"addresses": ioc.settings().devices.addresses, "connect": 0.2}
    with pytest.raises(DeviceError, match=r"BL7:mono:Energy.RBV .* and 16 more"):
        connect_devices(settings.overridden({"devices": here}, "test"))


def test_pvs_that_are_not_there_are_named_with_their_setting(ioc):
    began = time.monotonic()
    settings = ioc.settings(
        connect=1.0, energy={"motor": "TEST:mnoo"}, shutter={"status": "TEST:shuter:status"}, ring_current="TEST:ring"
    )
    with pytest.raises(DeviceError, match="not connected within 1 s") as caught:
        connect_devices(settings)
    assert time.monotonic() - began < 5
    for said in (
        "TEST:mnoo.RBV ([devices.energy] motor)",
        "TEST:shuter:status ([devices.shutter] status)",
        "TEST:ring ([devices] ring_current)",
        f"127.0.0.1:{ioc.port}",
    ):
        assert said in str(caught.value)
    assert "scaler" not in str(caught.value)


def test_a_motor_in_another_unit_is_refused(ioc):
    with pytest.raises(DeviceError, match=r"TEST:stage \(\[devices.energy\] motor\) moves in 'mm'.*in eV"):
        connect_devices(ioc.settings(energy={"motor": "TEST:stage"}))


def test_counters_that_make_no_absorption_are_refused(ioc):
    settings = ioc.settings().overridden({"channels": {"i0": "I0"}}, "test")
    with pytest.raises(SettingsError, match=r"\[channels\] calls i0 'I0'"):
        connect_devices(settings)
    with pytest.raises(SettingsError, match=r"no \[devices\]"):
        connect_devices(ioc.settings().model_copy(update={"devices": None}))
