"""Whole runs on the simulated beamline, with a real RunEngine and a real catalog, and predictions made up here."""

import dataclasses
import json
import math
import threading

import numpy as np
import pytest
from bluesky import RunEngine

from xas_bluesky import beamline
from xas_bluesky import session as session_module
from xas_bluesky.beamline import conventional_scan
from xas_bluesky.beamline_sim import BeamlineSettings, SimulatedBeamline
from xas_bluesky.decision import Budget, Recommender, Spent
from xas_bluesky.errors import CandidateError, EdgeError, InputError, PredictionError
from xas_bluesky.investigation import in_background
from xas_bluesky.outcome import warnings_of
from xas_bluesky.session import Session
from xas_bluesky.simulation import devices_of

SCAN = conventional_scan("S K")


class Run:
    """One RunEngine with its beamline, session and documents; `raw`: whether the raw run is written, which takes time."""

    def __init__(self, catalog, laboratory, sample, predictor=None, watch=None, raw=False, **settings):
        self.catalog = catalog
        self.beamline = SimulatedBeamline(laboratory.sample(sample), "S K", BeamlineSettings(**settings))
        self.engine = RunEngine({}, call_returns_result=True)
        self.documents = []
        self.engine.subscribe(lambda name, doc: self.documents.append((name, doc)))
        self.writer = catalog.writer() if raw else None
        if raw:
            self.engine.subscribe(self.writer)
        self.session = Session(devices_of(self.beamline), predictor or laboratory, catalog, watch)

    def __call__(self, candidates, edge="S K", sample="unknown", **options):
        try:
            return self.engine(self.session.agent_xas(candidates, edge, sample, **options)).plan_result
        finally:
            if self.writer:
                self.writer.close()

    def of(self, name):
        return [doc for kind, doc in self.documents if kind == name and (name != "event" or "energy" in doc["data"])]


class Broken:
    """A predictor that raises."""

    def __init__(self, error):
        self.error = error

    def predict(self, candidates, edge, conformers=1):  # noqa: ARG002
        raise self.error

    def close(self): ...


@pytest.fixture
def coarse(monkeypatch):
    """A conventional scan that is soon complete."""
    monkeypatch.setattr(beamline, "STEPS", (4.0, 1.0, 5.0))
    return conventional_scan("S K")


@pytest.fixture
def make_run(kept, laboratory):
    """Records are kept at hand, and read back from a real catalog where one is given."""

    def make(sample="sulfoxide", catalog=None, **options):
        return Run(catalog or kept, laboratory, sample, **options)

    return make


def test_a_run_answers_and_leaves_the_spectrum_and_its_record(make_run, catalog, laboratory):
    steps = []
    run = make_run(seed=1, watch=steps.append, raw=True, catalog=catalog)
    outcome = run(laboratory.candidates, sample="lot 3", seed=1)

    assert outcome.stop_reason.startswith("sure: ")
    assert outcome.answer.ranking[0].candidate == "sulfoxide"
    assert outcome.spent == Spent(len(run.of("event")), run.beamline.elapsed, run.beamline.photons, run.beamline.photons)
    assert outcome.conventional.points == len(SCAN) > 4 * outcome.spent.points
    assert outcome.steps == tuple(steps)
    assert laboratory.asked == ["S K"]

    (stop,) = run.of("stop")
    assert stop["exit_status"] == "success"
    raw = catalog.runs[outcome.raw_uid]
    assert raw.metadata["start"]["sample_name"] == "lot 3"
    assert raw["primary"].read().sizes["time"] == outcome.spent.points

    record = catalog.load(outcome.record)
    assert (record.raw_uid, record.sample, record.seed) == (outcome.raw_uid, "lot 3", 1)
    assert record.ranking == outcome.answer.ranking
    assert record.stop_reason == outcome.stop_reason
    assert [step.reason for step in record.decisions] == ["first look", *(step.decision.reason for step in steps)]
    for name in ("mean", "std", "factors", "energy", "distance"):
        assert np.array_equal(getattr(record.predicted, name), getattr(laboratory.prediction.spectra, name))
    assert outcome.record in [found["record"] for found in catalog.search(sample="lot 3")]


def test_what_real_devices_do_not_count_is_kept_too(make_run, catalog, laboratory):
    run = make_run(catalog=catalog)
    run.session.devices = dataclasses.replace(run.session.devices, used=beamline.wall_clock)
    outcome = run(laboratory.candidates, sample="real devices")
    assert math.isnan(outcome.spent.photons)
    assert 0 < outcome.spent.seconds < 60
    record = catalog.load(outcome.record)
    assert record.points == outcome.spent.points
    json.loads(json.dumps(outcome.to_json()), parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    (found,) = catalog.search(sample="real devices")
    json.loads(json.dumps(found), parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))


def test_candidates_may_be_a_file(make_run, laboratory, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("name,smiles\n" + "".join(f"{name},S\n" for name in laboratory.molecules))
    assert make_run()(str(path)).answer.ranking[0].candidate == "sulfoxide"


def test_a_budget_is_kept_and_said(make_run, laboratory, monkeypatch):
    monkeypatch.setattr("xas_bluesky.decision.stopping.SURE", 1.1)
    run = make_run()
    outcome = run(laboratory.candidates, budget=Budget(points=20))
    assert outcome.stop_reason == "budget: 20 of 20 points are spent"
    assert len(run.of("event")) == outcome.spent.points == 20


@pytest.mark.parametrize(
    ("candidates", "edge", "error"),
    [
        ("nowhere.csv", "S K", CandidateError),
        ("list.xyz", "S K", CandidateError),
        (None, "sulfur", EdgeError),
        (None, "Xx K", EdgeError),
    ],
)
def test_what_a_user_got_wrong_is_said_before_anything_is_measured(make_run, laboratory, candidates, edge, error):
    run = make_run()
    with pytest.raises(error):
        run(candidates or laboratory.candidates, edge)
    assert not run.documents
    assert run.beamline.elapsed == 0.0
    assert run.engine.state == "idle"


def test_what_the_predictor_rejects_is_said_before_anything_is_measured(make_run, laboratory):
    run = make_run(predictor=Broken(InputError("list.csv:3: 'C1' is not a valid SMILES")))
    with pytest.raises(InputError, match=r"list\.csv:3"):
        run(laboratory.candidates)
    assert not run.documents


def test_a_predictor_that_dies_is_said_after_the_whole_scan_was_measured_and_kept(make_run, catalog, laboratory, coarse):
    broken = Broken(PredictionError("the predictor gave no answer; start it again"))
    run = make_run(predictor=broken, raw=True, catalog=catalog)
    with pytest.raises(PredictionError, match=r"was measured and kept, but not analysed: .*gave no answer") as error:
        run(laboratory.candidates)
    assert str(error.value).count("gave no answer") == 1
    (stop,) = run.of("stop")
    assert stop["exit_status"] == "success"
    uid = run.of("start")[0]["uid"]
    assert uid in str(error.value)
    measured = np.array(catalog.runs[uid]["primary"].read()["energy_setpoint"])
    assert np.abs(coarse.energy[:, None] - measured).min(axis=1).max() < 0.05


def test_predictions_that_come_only_after_the_scan_still_answer(make_run, laboratory, coarse, monkeypatch):
    monkeypatch.setattr(session_module, "PREDICTION_PATIENCE", 0.1)
    release = threading.Event()

    class Late:
        def predict(self, candidates, edge, conformers=1):
            release.wait(60)
            return laboratory.predict(candidates, edge, conformers)

        def close(self): ...

    def come(_name, _stop):
        monkeypatch.setattr(session_module, "PREDICTION_PATIENCE", 30.0)
        release.set()

    run = make_run(predictor=Late())
    run.engine.subscribe(come, "stop")
    outcome = run(laboratory.candidates, budget=Budget(points=1000))
    assert outcome.answer.ranking[0].candidate == "sulfoxide"
    assert outcome.spent.points == len(run.of("event")) >= len(coarse)


def test_decisions_that_fail_from_the_second_on_do_not_leave_the_first_as_answer(
    make_run, kept, laboratory, coarse, monkeypatch
):
    monkeypatch.setattr("xas_bluesky.decision.stopping.SURE", 1.1)
    run, decide, calls = make_run(), Recommender.decide, []

    def sometimes(self, absorption, spent):
        calls.append(len(absorption))
        if len(calls) > 1 and not run.of("stop"):
            raise ArithmeticError("no decision")
        return decide(self, absorption, spent)

    monkeypatch.setattr(Recommender, "decide", sometimes)
    outcome = run(laboratory.candidates, budget=Budget(points=1000))
    assert outcome.spent.points == len(run.of("event")) == calls[-1] > len(coarse)
    assert not outcome.stop_reason.startswith("sure")
    assert set(kept.records[0].errors) == {"ArithmeticError: no decision"}
    assert outcome.answer.ranking[0].candidate == "sulfoxide"


@pytest.mark.parametrize("dump", [(3.0, 15.0), (20.0, 10.0)])
def test_a_beam_dump_does_not_break_a_run(make_run, laboratory, dump):
    outcome = make_run(beam_dump=dump)(laboratory.candidates)
    assert outcome.stop_reason.startswith("sure: ")
    assert outcome.answer.ranking[0].candidate == "sulfoxide"


@pytest.mark.usefixtures("coarse")
def test_a_beam_that_never_comes_back_does_not_break_a_run(make_run, kept, laboratory):
    run = make_run(beam_dump=(8.0, None))
    with pytest.raises(PredictionError, match="was measured and kept, but not analysed: SpectrumError"):
        run(laboratory.candidates)
    (stop,) = run.of("stop")
    assert stop["exit_status"] == "success"
    assert stop["num_events"]["primary"] == len(run.of("event"))
    assert not kept.records


def test_warnings_name_the_rejected_and_the_unsupported(laboratory):
    prediction = laboratory.prediction
    spectra = dataclasses.replace(prediction.spectra, supported=np.array([True, False, True]))
    found = warnings_of(dataclasses.replace(prediction, spectra=spectra, rejected=("list.csv:2: bad",)))
    assert found[0] == "list.csv:2: bad"
    assert found[1].startswith("candidate 'sulfoxide': an element or the surroundings of its absorber are new")
    assert len(found) == 2


def test_work_in_the_background_hands_over_its_result_or_error():
    assert in_background(lambda: threading.current_thread().name).result(10) == "xas-session"
    assert isinstance(in_background(lambda: 1 / 0).exception(10), ZeroDivisionError)


def test_the_conventional_scan_is_that_of_the_readme():
    assert (SCAN.energy[0], SCAN.energy[-1], len(SCAN)) == (pytest.approx(2442.0), pytest.approx(2517.0), 226)
