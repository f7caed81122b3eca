"""Beam care around real scans of the simulated beamline: what the shutter did, what was read with it closed and open."""

import threading
import time

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted
from ophyd import Signal

from xas_bluesky.beamline_sim import BeamlineSettings, SimulatedBeamline
from xas_bluesky.config import Beam
from xas_bluesky.decision.scan_request import regions
from xas_bluesky.documents import Collector
from xas_bluesky.plans import BeamCare, ring_suspender, xas_scan
from xas_bluesky.reduction import absorption
from xas_bluesky.reduction.absorption import LOW_CURRENT, RECOVERING
from xas_bluesky.simulation import devices_of


def edge(energy):
    return 0.5 + np.arctan((energy - 2472.0) / 0.3) / np.pi


REQUEST = regions(2472.0, "-5 5", "1", "1")


class Scan:
    """One scan with care; `opened`: each word that the shutter was told; `states`: what it was at each event, by stream."""

    def __init__(self, beam=None, **settings):
        self.beamline = SimulatedBeamline(edge, "S K", BeamlineSettings(mode="transmission", **settings))
        self.devices = devices_of(self.beamline)
        self.settings = self.devices.settings.overridden({"beam": (beam or Beam()).model_dump()}, "test")
        self.care = BeamCare.of(self.devices.shutter, self.devices.ring_current, self.settings.beam)
        self.told, self.states, self.streams = [], [], {}
        self.collector, self.stop = Collector(), None
        told = self.beamline.shutter.set
        self.beamline.shutter.set = lambda value: (self.told.append(value), told(value))[1]
        self.engine = RunEngine({})
        self.engine.subscribe(self.collector)
        self.engine.subscribe(self.take)
        self.happen = lambda _point: None

    def take(self, name, doc):
        if name == "descriptor":
            self.streams[doc["uid"]] = doc["name"]
        elif name == "event":
            self.states.append((self.streams[doc["descriptor"]], self.beamline.shutter.is_open))
            if self.states[-1][0] == "primary":
                self.happen(doc["seq_num"])
        elif name == "stop":
            self.stop = doc

    def run(self):
        devices = self.devices
        self.engine(
            xas_scan(
                devices.energy,
                devices.dwell,
                devices.detectors,
                REQUEST,
                edge="S K",
                sample="gypsum",
                settings=self.settings,
                care=self.care,
            )
        )

    def pause_at(self, point):
        def pause(at):
            if at == point:
                threading.Thread(target=self.engine.request_pause).start()
                time.sleep(0.2)  # holds the run at this point until the request is in

        self.happen = pause

    @property
    def spectrum(self):
        return self.collector.spectrum()


def test_darks_come_first_and_the_shutter_is_open_for_points_alone():
    scan = Scan()
    scan.run()
    assert scan.states == [("dark", False)] + [("primary", True)] * len(REQUEST)
    assert scan.told[:3] == ["Close", "Open", "Close"]
    assert "Open" not in scan.told[3:]
    assert not scan.beamline.shutter.is_open
    assert scan.stop["num_events"] == {"dark": 1, "primary": len(REQUEST)}


def test_the_reduction_takes_the_darks_of_the_run():
    bright = Scan(flux=1e6, dark_rate=5000.0, seed=3)
    bright.run()
    spectrum = bright.spectrum
    assert spectrum.channels["dark_i0"][0] == pytest.approx(5000, rel=0.1)
    assert len(spectrum) == len(REQUEST)
    mu = absorption(spectrum, settings=bright.collector.settings()).mu
    true = edge(REQUEST.energy) + 0.1
    raw = np.log(spectrum.channels["i0"] / spectrum.channels["itrans"])
    assert np.abs(mu - true).max() < 0.03 < np.abs(raw - true).max()
    assert mu == pytest.approx(
        np.log(
            (spectrum.channels["i0"] - spectrum.channels["dark_i0"])
            / (spectrum.channels["itrans"] - spectrum.channels["dark_itrans"])
        )
    )


def test_no_darks_where_none_are_wanted_and_nothing_is_done_without_a_shutter():
    scan = Scan(Beam(dark=0))
    scan.run()
    assert {stream for stream, _ in scan.states} == {"primary"}
    assert "dark_i0" not in scan.spectrum.channels
    bare = Scan()
    bare.care = BeamCare()
    bare.run()
    assert bare.told == []
    assert "ring_current" not in bare.spectrum.channels


@pytest.mark.parametrize("end", ["stop", "abort", "halt"])
def test_it_is_closed_in_a_pause_and_however_the_user_ends_it(end):
    scan = Scan()
    scan.pause_at(4)
    with pytest.raises(RunEngineInterrupted):
        scan.run()
    assert not scan.beamline.shutter.is_open
    scan.beamline.shutter.set("Open")  # somebody opens it meanwhile
    getattr(scan.engine, end)()
    assert not scan.beamline.shutter.is_open
    assert scan.stop is not None


def test_it_opens_again_after_a_pause():
    scan = Scan()
    scan.pause_at(4)
    with pytest.raises(RunEngineInterrupted):
        scan.run()
    scan.engine.resume()
    assert all(is_open for stream, is_open in scan.states if stream == "primary")
    assert len(scan.spectrum) == len(REQUEST)
    assert not scan.beamline.shutter.is_open


def test_it_is_closed_when_a_device_fails():
    scan = Scan()

    def fail(at):
        if at == 3:
            scan.beamline.energy.set = lambda _: (_ for _ in ()).throw(OSError("the mono is stuck"))

    scan.happen = fail
    with pytest.raises(OSError, match="the mono is stuck"):
        scan.run()
    assert not scan.beamline.shutter.is_open
    assert scan.stop["exit_status"] == "fail"


def test_a_shutter_that_fails_to_open_ends_the_run_and_is_closed():
    scan = Scan()
    move = scan.beamline.shutter.set

    def stuck(value):
        if value == "Open":
            raise OSError("no pressure")
        return move(value)

    scan.beamline.shutter.set = stuck
    with pytest.raises(OSError, match="no pressure"):
        scan.run()
    assert scan.told[-1] == "Close"
    assert {stream for stream, _ in scan.states} == {"dark"}


def test_a_suspender_waits_for_the_ring_and_points_across_the_dump_are_left_out():
    scan = Scan(Beam(least_current=100.0, recovery=0.2))
    scan.engine.install_suspender(ring_suspender(scan.devices.ring_current, scan.settings.beam))
    seen = []

    def come_back():
        seen.append(scan.beamline.shutter.is_open)
        scan.devices.ring_current.put(400.0)

    def dump(at):
        if at == 5:
            scan.happen = lambda _point: None
            scan.devices.ring_current.put(0.0)
            threading.Timer(0.5, come_back).start()
            time.sleep(0.2)  # until the suspender has it

    scan.happen = dump
    scan.run()
    assert seen == [False], "the shutter is closed while there is no beam"
    spectrum = scan.spectrum
    assert len(spectrum) == len(REQUEST)
    assert spectrum.channels["ring_current"].tolist() == [400.0] * len(REQUEST)
    measured = absorption(spectrum, settings=scan.collector.settings())
    # the fifth point may have been measured across the dump; what came after waited until the beam was there
    assert np.flatnonzero(measured.flags[LOW_CURRENT]).tolist() == [4]
    assert RECOVERING not in measured.flags
    assert np.isinf(measured.variance[4])
    assert np.isfinite(np.delete(measured.variance, 4)).all()


def test_a_busy_run_engine_is_told_of_the_dump_again():
    scan = Scan(Beam(least_current=100.0), time_scale=0.1)
    scan.engine.install_suspender(ring_suspender(scan.devices.ring_current, scan.settings.beam))
    ended = []

    def dump(at):
        ended.append(time.monotonic())
        if at == 3:
            threading.Timer(0.05, scan.devices.ring_current.put, (0.0,)).start()
            threading.Timer(2.0, scan.devices.ring_current.put, (400.0,)).start()
            time.sleep(0.4)  # longer than Bluesky waits for its engine

    scan.happen = dump
    scan.run()
    assert max(np.diff(ended)) > 1.0
    assert len(scan.spectrum) == len(REQUEST)
    low = scan.spectrum.channels["ring_current"] == 0
    measured = absorption(scan.spectrum, settings=scan.collector.settings())
    assert measured.flags[LOW_CURRENT][low].all()
    assert 0 < measured.flags[LOW_CURRENT].sum() < len(REQUEST) / 2


def test_without_a_suspender_points_of_the_dump_and_the_recovery_are_kept_but_left_out():
    scan = Scan(Beam(least_current=100.0, recovery=3600.0))
    currents = {3: 50.0, 5: 400.0}
    scan.happen = lambda at: at in currents and scan.devices.ring_current.put(currents[at])
    scan.run()
    measured = absorption(scan.spectrum, settings=scan.collector.settings())
    assert len(scan.spectrum) == len(REQUEST)
    assert np.flatnonzero(measured.flags[LOW_CURRENT]).tolist() == [2, 3, 4]
    assert np.flatnonzero(measured.flags[RECOVERING]).tolist() == list(range(5, len(REQUEST)))


def test_a_ring_whose_signal_is_gone_costs_no_scan():
    scan = Scan(Beam(least_current=100.0))
    gone = Signal(name="ring", value=float("nan"))
    scan.care = BeamCare.of(scan.devices.shutter, gone, scan.settings.beam)
    scan.run()
    assert np.isnan(scan.spectrum.channels["ring_current"]).all()
    assert LOW_CURRENT not in absorption(scan.spectrum, settings=scan.collector.settings()).flags
