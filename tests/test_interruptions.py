"""However `agent_xas` ends, its run is closed and a record says so; a real RunEngine on the simulated beamline."""

import threading
import time
from concurrent.futures import wait

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.suspenders import SuspendBoolHigh
from bluesky.utils import RunEngineInterrupted
from ophyd import Signal

from xas_bluesky import investigation
from xas_bluesky.beamline_sim import SimulatedBeamline
from xas_bluesky.decision import Budget
from xas_bluesky.session import Session
from xas_bluesky.simulation import devices_of

AT = 18
"""The point at which runs are interrupted: after the first look, before they are sure."""


@pytest.fixture
def started(kept, laboratory, monkeypatch):
    """A run that something happens to at its point AT."""
    monkeypatch.setattr("xas_bluesky.decision.stopping.SURE", 1.1)
    return lambda happening: Started(kept, laboratory, happening)


class Started:
    def __init__(self, kept, laboratory, happening):
        self.engine = RunEngine({}, call_returns_result=True)
        self.documents, self.kept = [], kept
        self.beamline = SimulatedBeamline(laboratory.sample("sulfoxide"), "S K")
        session = Session(devices_of(self.beamline), laboratory, kept)
        plan = session.agent_xas(laboratory.candidates, "S K", "mine", budget=Budget(points=40))

        def take(name, doc):
            self.documents.append((name, doc))
            if name == "event" and doc["seq_num"] == AT:
                happening(self)

        self.run = lambda: self.engine(plan, take).plan_result

    @property
    def stop(self):
        (doc,) = (doc for name, doc in self.documents if name == "stop")
        return doc

    @property
    def setpoints(self):
        events = [doc["data"] for name, doc in self.documents if name == "event"]
        return [data["energy_setpoint"] for data in events if "energy" in data]  # the darks have none

    @property
    def record(self):
        (record,) = self.kept.records
        assert record.raw_uid == self.documents[0][1]["uid"]
        return record


def pause(run):
    pause_soon(run.engine)
    time.sleep(0.2)  # the callback holds the run at this point until the request is in


def pause_soon(engine):
    """Ask for a pause from another thread, as a user does; the RunEngine's own would wait for itself."""
    threading.Thread(target=engine.request_pause).start()


def test_a_pause_is_in_the_record_and_costs_no_point(started):
    run = started(pause)
    with pytest.raises(RunEngineInterrupted):
        run.run()
    assert not run.kept.records
    run.engine.resume()
    assert run.stop["exit_status"] == "success"
    assert len(run.setpoints) == 40
    assert run.record.stop_reason.startswith("budget: 40 of 40 points")
    assert len(run.record.pauses) == 1


@pytest.mark.parametrize(
    ("end", "exit_status", "reason"),
    [
        ("stop", "success", "interrupted: stopped by the user"),
        ("abort", "abort", "interrupted: aborted by the user"),
        ("halt", "abort", "interrupted: halted by the user"),
    ],
)
def test_what_was_answered_before_the_user_ended_it_is_recorded(started, monkeypatch, end, exit_status, reason):
    written = []
    begin = investigation.in_background
    monkeypatch.setattr(investigation, "in_background", lambda work: written.append(begin(work)) or written[-1])
    run = started(pause)
    with pytest.raises(RunEngineInterrupted):
        run.run()
    getattr(run.engine, end)()
    assert run.engine.state == "idle"
    assert run.stop["exit_status"] == exit_status
    wait(written, 30)  # halted, the plan may not wait for it
    assert (run.record.exit_status, run.record.stop_reason) == (exit_status, reason)
    assert run.record.points == len(run.setpoints) in (AT - 1, AT)
    assert run.record.ranking[0].candidate == "sulfoxide"


def test_a_suspender_waits_and_goes_on(started):
    lost = Signal(name="beam_lost", value=0)

    def lose_it(_run):
        lost.put(1)
        threading.Timer(0.5, lost.put, (0,)).start()

    run = started(lose_it)
    run.engine.install_suspender(SuspendBoolHigh(lost))
    run.run()
    assert run.stop["exit_status"] == "success"
    assert run.record.exit_status == "success"
    assert len(run.record.pauses) >= 1
    assert len(run.setpoints) == 40


def test_a_device_that_raises_is_in_the_record_and_reaches_the_user(started):
    def break_it(run):
        def trigger():
            raise TimeoutError("the scaler does not answer")

        run.beamline.scaler.trigger = trigger

    run = started(break_it)
    with pytest.raises(TimeoutError, match="does not answer"):
        run.run()
    assert (run.stop["exit_status"], run.stop["reason"]) == ("fail", "the scaler does not answer")
    assert (run.record.exit_status, run.record.stop_reason) == (
        "fail",
        "interrupted: TimeoutError: the scaler does not answer",
    )
    assert run.record.points == AT


def test_a_run_aborted_before_predictions_came_is_kept_without_a_record(kept, laboratory, monkeypatch):
    monkeypatch.setattr("xas_bluesky.session.PREDICTION_PATIENCE", 0.1)
    monkeypatch.setattr("xas_bluesky.session.CLOSING_PATIENCE", 0.2)
    release = threading.Event()

    class Late:
        def predict(self, candidates, edge, conformers=1):
            release.wait(60)
            return laboratory.predict(candidates, edge, conformers)

    engine, stops = RunEngine({}), []
    beamline = SimulatedBeamline(laboratory.sample("thiol"), "S K")
    engine.subscribe(lambda _, doc: pause_soon(engine) if doc["seq_num"] == 3 else None, "event")
    engine.subscribe(lambda _, doc: stops.append(doc), "stop")
    try:
        with pytest.raises(RunEngineInterrupted):
            engine(Session(devices_of(beamline), Late(), kept).agent_xas(laboratory.candidates, "S K", "mine"))
        engine.abort()
    finally:
        release.set()
    assert [stop["exit_status"] for stop in stops] == ["abort"]
    assert not kept.records


def test_radiation_damage_stops_the_run_and_is_flagged(kept, laboratory, monkeypatch):
    monkeypatch.setattr("xas_bluesky.decision.stopping.SURE", 1.1)
    fresh, damaged = laboratory.sample("sulfone"), laboratory.sample("sulfoxide")
    beamline = SimulatedBeamline(lambda energy: (damaged if beamline.photons > 1.2e9 else fresh)(np.asarray(energy)), "S K")
    engine = RunEngine({}, call_returns_result=True)
    plan = Session(devices_of(beamline), laboratory, kept).agent_xas(laboratory.candidates, "S K", "mine")
    outcome = engine(plan).plan_result
    assert outcome.stop_reason.startswith("radiation damage: ")
    assert outcome.flags == kept.records[0].flags == ("radiation damage",)
    assert outcome.answer.ranking[0].candidate == "sulfone"
