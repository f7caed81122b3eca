"""bluesky-adaptive's own `optimize` on a real RunEngine, with our optimizer, acquisition and evaluation."""

import threading
import time
from dataclasses import astuple

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from bluesky.utils import RunEngineInterrupted
from bluesky_adaptive import acquire_baseline, optimize
from bluesky_adaptive.protocols import AcquisitionPlan, EvaluationFunction, Optimizer, SupportsStoppingCriteria
from ophyd.status import DeviceStatus

from xas_bluesky import beamline as beamline_module
from xas_bluesky import optimization
from xas_bluesky.beamline import conventional_scan
from xas_bluesky.beamline_sim import BeamlineSettings, SimulatedBeamline
from xas_bluesky.decision import Budget, Recommender
from xas_bluesky.documents import Collector
from xas_bluesky.errors import CandidateError, EdgeError, InputError, PredictionError, SpectrumError
from xas_bluesky.investigation import Sample
from xas_bluesky.optimization import SweepEvaluation, identification_problem
from xas_bluesky.session import Session
from xas_bluesky.simulation import devices_of

DECISION = 0.5
"""Seconds that a slow decision takes."""


@pytest.fixture
def laboratory(make_laboratory):
    """Two molecules that a first look does not tell apart."""
    return make_laboratory({"plain": [(2473.0, 3.0)], "shouldered": [(2473.0, 3.0), (2477.5, 1.2)]})


class Optimization:
    """One RunEngine with its beamline, problem and documents."""

    def __init__(self, laboratory, kept, predictor=None, budget=None, patience=300.0, **settings):
        self.beamline = SimulatedBeamline(laboratory.sample("shouldered"), "S K", BeamlineSettings(seed=1, **settings))
        self.engine = RunEngine({})
        self.documents = []
        self.engine.subscribe(lambda name, doc: self.documents.append((name, doc)))
        self.session = Session(devices_of(self.beamline), predictor or laboratory, kept)
        sample = Sample("lot 3", laboratory.candidates, spot="center", budget=budget)
        self.problem = identification_problem(self.session, sample, "S K", seed=1, patience=patience)
        self.optimizer = self.problem.optimizer

    def __call__(self, iterations=None, **options):
        self.engine(optimize(self.problem, iterations=iterations, **options))

    def measure(self, suggestions):
        """Measure outside of `optimize`."""
        self.engine(self.problem.acquisition_plan(suggestions, self.problem.actuators, self.problem.sensors))
        return self.sweeps[-1]["uid"]

    def of(self, name):
        return [doc for kind, doc in self.documents if kind == name]

    @property
    def sweeps(self):
        """The start documents of the sweeps."""
        return [start for start in self.of("start") if start["plan_name"] == "xas_sweep"]

    def events(self, start):
        described = [doc for doc in self.of("descriptor") if doc["run_start"] == start["uid"] and doc["name"] == "primary"]
        streams = [doc["uid"] for doc in described]
        return [doc["data"] for doc in self.of("event") if doc["descriptor"] in streams]

    def energies(self):
        """The energies asked for, by sweep."""
        return [[data["energy_setpoint"] for data in self.events(start)] for start in self.sweeps]

    def points(self):
        """All energies asked for."""
        return [energy for sweep in self.energies() for energy in sweep]

    def identifiers(self):
        """The suggestions' identifiers, in the order they were measured in."""
        return [ident for start in self.sweeps for ident in start["blop_acquisition_order"]]


class Late:
    """A predictor that answers when it is told to, with an error if it has one."""

    def __init__(self, laboratory, error=None):
        self.laboratory, self.error = laboratory, error
        self.told = threading.Event()

    def predict(self, candidates, edge, conformers=1):
        assert self.told.wait(60)
        if self.error:
            raise self.error
        return self.laboratory.predict(candidates, edge, conformers)

    def close(self): ...


@pytest.fixture
def make(laboratory, kept):
    return lambda **options: Optimization(laboratory, kept, **options)


@pytest.fixture
def never_sure(monkeypatch):
    monkeypatch.setattr("xas_bluesky.decision.stopping.SURE", 1.1)


@pytest.fixture
def coarse(monkeypatch):
    """A conventional scan that is soon complete."""
    monkeypatch.setattr(beamline_module, "STEPS", (4.0, 1.0, 5.0))
    return conventional_scan("S K")


def test_ours_are_what_the_protocols_ask_for(make):
    problem = make().problem
    assert isinstance(problem.optimizer, Optimizer)
    assert isinstance(problem.optimizer, SupportsStoppingCriteria)
    assert isinstance(problem.evaluation_function, EvaluationFunction)
    assert isinstance(problem.acquisition_plan, AcquisitionPlan)


def test_it_identifies_the_sample_and_stops_before_the_iterations_are_used_up(make, monkeypatch):
    monkeypatch.setattr("xas_bluesky.decision.stopping.SURE", 0.9999999)
    run = make()
    run(iterations=30, md={"proposal": 7})
    stop, reason = run.optimizer.should_stop()
    assert stop
    assert reason.startswith("sure: ")
    assert run.optimizer.answer.ranking[0].candidate == "shouldered"
    ((name, parameters, outcomes),) = run.optimizer.get_best_points()
    assert (name, parameters) == ("shouldered", {})
    assert outcomes["probability"] >= 0.999

    assert 1 < len(run.sweeps) < 30
    assert all(sweep == sorted(sweep) for sweep in run.energies())
    for start in run.sweeps:
        assert (start["sample_name"], start["xas"]["edge"], start["spot"]) == ("lot 3", "S K", "center")
        assert start["proposal"] == 7
    assert len({start["xas_session"] for start in run.sweeps}) == 1
    assert {doc["exit_status"] for doc in run.of("stop")} == {"success"}


def test_its_answer_is_kept_with_its_decisions(make, kept):
    run = make()
    run()
    outcome = run.optimizer.conclude()
    used = (len(run.points()), run.beamline.elapsed, run.beamline.photons, run.beamline.photons)
    assert astuple(outcome.spent) == pytest.approx(used)
    assert outcome.answer == run.optimizer.answer
    assert [outcome.raw_uid, *outcome.revisits] == [start["uid"] for start in run.sweeps]
    (record,) = kept.records
    assert (record.sample, record.seed, record.stop_reason) == ("lot 3", 1, run.optimizer.should_stop()[1])
    assert len(record.decisions) == 1 + len(run.sweeps)  # the first look, and one after each sweep
    assert run.optimizer.conclude() is outcome, "it is kept once"
    assert len(kept.records) == 1


def test_it_measures_what_the_adaptive_plan_measures(make, laboratory, kept):
    run = make()
    run()
    twin = SimulatedBeamline(laboratory.sample("shouldered"), "S K", BeamlineSettings(seed=1))
    engine, points = RunEngine({}, call_returns_result=True), []
    engine.subscribe(lambda _, doc: points.append(doc["data"].get("energy_setpoint")), "event")
    plan = Session(devices_of(twin), laboratory, kept).agent_xas(laboratory.candidates, "S K", "lot 3", patience=300.0)
    outcome = engine(plan).plan_result
    assert run.points() == points[1:]
    assert run.optimizer.answer.ranking[0].candidate == outcome.answer.ranking[0].candidate
    darks = len(run.sweeps) - 1  # one more for each further run, of 1 s
    assert run.beamline.elapsed == pytest.approx(twin.elapsed + darks)


def test_the_sample_is_prepared_once_before_it_is_measured(make, never_sure):  # noqa: ARG001
    problem, prepared = make(), []

    def align(sample):
        prepared.append((sample.name, len(problem.sweeps)))
        yield from bps.null()

    problem.session.before_sample.append(align)
    problem(iterations=2)
    assert len(problem.sweeps) == 2
    assert prepared == [("lot 3", 0)]


def test_each_point_is_recorded_with_its_absorption(make, never_sure):  # noqa: ARG001
    run = make()
    run(iterations=2)
    (outer,) = (start for start in run.of("start") if start["plan_name"] == "optimize")
    recorded = run.events(outer)
    measured = [data for start in run.sweeps for data in run.events(start)]
    assert [point["suggestion_ids"] for point in recorded] == run.identifiers()
    assert [point["energy"] for point in recorded] == [data["energy_setpoint"] for data in measured]
    assert [point["measured_energy"] for point in recorded] == [data["energy"] for data in measured]
    mu = np.array([data["fluorescence"] / data["i0"] for data in measured])
    assert [point["mu"] for point in recorded] == pytest.approx(mu, rel=5e-3)  # less the darks
    variance = mu**2 * [1 / data["fluorescence"] + 1 / data["i0"] for data in measured]
    assert [point["mu_variance"] for point in recorded] == pytest.approx(variance, rel=5e-3)


def test_both_runs_are_kept_in_tiled(make, catalog, never_sure):  # noqa: ARG001
    run, writer = make(), catalog.writer()
    run.engine.subscribe(writer)
    run(iterations=1)
    writer.close()
    for start in run.of("start"):
        written = catalog.runs[start["uid"]]["primary"].read()
        key = "energy" if start["plan_name"] == "optimize" else "energy_setpoint"
        assert written[key].values.tolist() == run.points()


def test_never_sure_it_uses_all_iterations(make, never_sure):  # noqa: ARG001
    run = make()
    run(iterations=3)
    assert len(run.sweeps) == 3
    assert run.optimizer.should_stop() == (False, None)
    assert run.optimizer.answer is not None
    run(iterations=2)
    assert len(run.sweeps) == 5, "a second call goes on"
    assert len(set(run.identifiers())) == len(run.points())
    run.optimizer.conclude()
    assert run.optimizer.suggest() == []


def test_a_budget_ends_it_and_it_measures_no_more(make, never_sure):  # noqa: ARG001
    run = make(budget=Budget(points=20))
    run()
    assert run.optimizer.should_stop() == (True, "budget: 20 of 20 points are spent")
    assert len(run.points()) == 20
    run()
    assert len(run.points()) == 20


def test_the_dose_of_a_spot_adds_up(make, laboratory):
    run = make()
    run()
    again = identification_problem(run.session, Sample("lot 3", laboratory.candidates, spot="center"), "S K")
    run.engine(optimize(again, iterations=None))
    outcome = again.optimizer.conclude()
    assert outcome.spent.dose == pytest.approx(run.beamline.photons)
    assert outcome.spent.photons < outcome.spent.dose


def test_a_failing_device_surfaces_and_the_sweep_can_be_measured_again(make, monkeypatch):
    run = make()
    asked = run.beamline.energy.set

    def stuck(energy):
        if len(run.of("event")) == 1 + 5:  # the darks, and five points
            raise OSError("the mono is stuck")
        return asked(energy)

    monkeypatch.setattr(run.beamline.energy, "set", stuck)
    with pytest.raises(OSError, match="the mono is stuck"):
        run()
    assert [doc["exit_status"] for doc in run.of("stop")] == ["fail", "fail"]
    assert run.engine.state == "idle"
    monkeypatch.undo()
    run()
    first, again = run.energies()[:2]
    assert first == again[:5]
    outcome = run.optimizer.conclude()
    assert outcome.answer.ranking[0].candidate == "shouldered"
    assert outcome.spent.points == len(run.points())


def test_a_pause_within_a_sweep_repeats_no_point(make, monkeypatch):
    run = make()
    first = [point["energy"] for point in run.optimizer.suggest()]
    counted, interrupted = run.beamline.scaler.trigger, DeviceStatus(run.beamline.scaler)

    def trigger():
        monkeypatch.undo()
        threading.Thread(target=run.engine.request_pause).start()
        return interrupted

    def after_the_third(_name, doc):
        if doc["seq_num"] == 3 and "energy" in doc["data"]:
            monkeypatch.setattr(run.beamline.scaler, "trigger", trigger)

    token = run.engine.subscribe(after_the_third, "event")
    with pytest.raises(RunEngineInterrupted):
        run()
    interrupted.set_finished()
    run.engine.unsubscribe(token)
    assert run.beamline.scaler.trigger == counted
    run.engine.resume()
    assert run.energies()[0] == first
    assert len(run.optimizer.conclude().pauses) == 1


def test_the_run_engine_is_free_while_a_decision_takes_long(make, monkeypatch):
    run, decide, ticks = make(), Recommender.decide, []

    def tick():
        ticks.append(time.monotonic())
        run.engine.loop.call_later(0.02, tick)

    def slow(self, absorption, spent):
        run.engine.loop.call_soon_threadsafe(tick)
        threading.Event().wait(DECISION)
        return decide(self, absorption, spent)

    monkeypatch.setattr(Recommender, "decide", slow)
    run(iterations=1)
    assert np.ptp(ticks) > DECISION / 2
    assert np.median(np.diff(ticks)) < 0.2 * DECISION


def test_decisions_that_are_late_leave_the_conventional_scan(make, coarse, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(Recommender, "decide", lambda *_: release.wait(60))
    run = make(patience=0.01, budget=Budget(points=1000))
    try:
        run()
    finally:
        release.set()
    assert np.abs(coarse.energy[:, None] - run.points()).min(axis=1).max() < 0.05
    assert run.optimizer.should_stop() == (True, "the conventional scan is complete")


def test_predictions_that_come_later_are_taken_in(make, laboratory, monkeypatch):
    monkeypatch.setattr(optimization, "PREDICTION_PATIENCE", 0.01)
    predictor = Late(laboratory)
    run = make(predictor=predictor, budget=Budget(points=80))
    run()
    assert run.optimizer.answer is None
    assert run.optimizer.get_best_points() == []
    assert run.optimizer.should_stop()[0]
    monkeypatch.setattr(optimization, "PREDICTION_PATIENCE", 30.0)
    predictor.told.set()
    assert run.optimizer.conclude().answer.ranking[0].candidate == "shouldered"


def test_predictions_that_fail_later_leave_the_conventional_scan(make, laboratory, coarse, monkeypatch):
    monkeypatch.setattr(optimization, "PREDICTION_PATIENCE", 0.01)
    predictor = Late(laboratory, PredictionError("the predictor gave no answer"))
    run = make(predictor=predictor, budget=Budget(points=1000))
    predictor.told.set()
    run()
    assert np.abs(coarse.energy[:, None] - run.points()).min(axis=1).max() < 0.05
    with pytest.raises(PredictionError, match=r"was measured and kept, but not analysed: .*gave no answer"):
        run.optimizer.conclude()


def test_what_is_wrong_is_said_before_anything_is_measured(make, laboratory, kept):
    predictor = Late(laboratory, InputError("list.csv:3: 'C1' is not a valid SMILES"))
    predictor.told.set()
    with pytest.raises(InputError, match=r"list\.csv:3"):
        make(predictor=predictor)
    session = Session(devices_of(SimulatedBeamline(laboratory.sample("plain"), "S K")), laboratory, kept)
    with pytest.raises(CandidateError, match=r"nowhere\.csv"):
        identification_problem(session, Sample("lot 3", "nowhere.csv"), "S K")
    with pytest.raises(EdgeError, match="sulfur"):
        identification_problem(session, Sample("lot 3", laboratory.candidates), "sulfur")


@pytest.mark.parametrize("dump", [(0.0, 30.0), (20.0, 10.0)])
def test_a_beam_dump_does_not_break_it(make, dump):
    run = make(beam_dump=dump)
    run()
    assert run.optimizer.answer.ranking[0].candidate == "shouldered"
    assert run.optimizer.should_stop()[1].startswith("sure: ")


def test_points_by_hand_are_used_too(make):
    run = make()
    suggested = run.optimizer.suggest()
    run.engine(acquire_baseline(run.problem, {"energy": 2450.0, "dwell": 1.0}))
    assert run.energies() == [[2450.0]]
    uid = run.measure(suggested[::-1])
    assert run.energies()[1] == [point["energy"] for point in suggested]
    outcomes = run.problem.evaluation_function(uid, suggested[::-1])
    assert [point["_id"] for point in outcomes] == [point["_id"] for point in suggested]
    run.optimizer.ingest(outcomes)
    run()
    assert run.optimizer.answer.ranking[0].candidate == "shouldered"


def test_points_of_other_measurements_are_refused(make):
    run, other = make(), make()
    suggested = other.optimizer.suggest()
    outcomes = other.problem.evaluation_function(other.measure(suggested), suggested)
    run.measure(suggested[:3])
    for foreign in (outcomes, [{"_id": 1, "mu": 0.3}]):
        with pytest.raises(InputError, match="SweepAcquisition"):
            run.optimizer.ingest(foreign)


def test_a_run_without_all_its_points_is_refused(make):
    run = make()
    suggested = run.optimizer.suggest()
    uid = run.measure(suggested[:5])
    with pytest.raises(SpectrumError, match=rf"got 5 points, expected {len(suggested)}"):
        run.problem.evaluation_function(uid, suggested)
    with pytest.raises(SpectrumError, match="was not collected"):
        SweepEvaluation(Collector(), "energy")("elsewhere", suggested)
