"""Runs on the simulated beamline, recorded and decided again: here from documents at hand, in another process from Tiled."""

import json
import subprocess
import sys
import threading
from dataclasses import replace

import bluesky.plan_stubs as bps
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted
from rich.console import Console
from typer.testing import CliRunner

from xas_bluesky import session as session_module
from xas_bluesky.agent import Agent
from xas_bluesky.beamline_sim import BeamlineSettings, SimulatedBeamline
from xas_bluesky.cli import app
from xas_bluesky.decision import Budget, Recommender
from xas_bluesky.errors import InputError, SpectrumError
from xas_bluesky.investigation import Sample
from xas_bluesky.replaying import SAME, replay, replay_record
from xas_bluesky.report import replay_report
from xas_bluesky.session import Session
from xas_bluesky.simulation import devices_of

ALIKE = {"plain": [(2473.0, 3.0)], "shouldered": [(2473.0, 3.0), (2477.5, 0.8)], "double": [(2473.0, 2.0), (2474.5, 1.5)]}


@pytest.fixture
def alike(make_laboratory):
    return make_laboratory(ALIKE)


class Beamline:
    """A session whose runs are held, by uid, or written where `catalog` is a real one."""

    def __init__(self, laboratory, catalog, sample="plain", raw=False, predictor=None, **options):
        self.laboratory, self.catalog, self.runs = laboratory, catalog, {}
        self.beamline = SimulatedBeamline(laboratory.sample(sample), "S K", BeamlineSettings(seed=5))
        self.session = Session(devices_of(self.beamline), predictor or laboratory, catalog, **options)
        self.engine = RunEngine({}, call_returns_result=True)
        self.engine.subscribe(self._hold)
        self.writer = catalog.writer() if raw else None
        if raw:
            self.engine.subscribe(self.writer)

    def _hold(self, name, doc):
        if name == "start":
            self.runs[doc["uid"]] = []
        self.runs[list(self.runs)[-1]].append((name, doc))

    def measure(self, **options):
        plan = self.session.agent_xas(self.laboratory.candidates, "S K", "mine", **options)
        try:
            return self.engine(plan).plan_result
        finally:
            if self.writer and self.engine.state == "idle":
                self.writer.close()

    def replayed(self, record=None):
        return replay(record or self.catalog.records[-1], self.runs.__getitem__)


def is_same(replayed, least):
    assert replayed.first_difference is None
    assert replayed.same_choices
    assert replayed.largest_difference <= SAME
    assert len(replayed.again) == len(replayed.record.decisions) >= least
    return True


def cli(*arguments):
    return CliRunner().invoke(app, ["replay", *map(str, arguments)])


def test_a_run_replays_from_the_catalog_here_and_in_another_process(catalog, alike):
    outcome = Beamline(alike, catalog, raw=True).measure(seed=5)
    replayed = replay_record(catalog, outcome.record)
    assert is_same(replayed, 3)
    assert [step.reason for step in replayed.again][:2] == ["first look", "information gain"]
    assert replayed.largest_difference == 0.0, "the same machine, the same numbers"

    command = [sys.executable, "-m", "xas_bluesky.cli", "replay", outcome.record, "--catalog", catalog.where]
    ended = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads(ended.stdout)
    here = found["version_here"]
    assert found == {
        "record": outcome.record,
        "raw_uid": outcome.raw_uid,
        "decisions": len(replayed.again),
        "same_choices": True,
        "largest_difference": 0.0,
        "model": "synthetic",
        "version": here,
        "version_here": here,
        "first_difference": None,
    }

    record = catalog.load(outcome.record)
    first, second, *others = record.decisions
    tampered = replace(
        record, decisions=(first, replace(second, energy=(second.energy[0] + 0.1, *second.energy[1:])), *others)
    )
    result = cli(catalog.save(tampered), "--catalog", catalog.where, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["same_choices"], found["largest_difference"]) == (False, 0.0)
    difference = found["first_difference"]
    assert (difference["decision"], difference["what"]) == (1, "energy")
    assert difference["recorded"][0] - difference["replayed"][0] == pytest.approx(0.1)

    result = cli("nope", "--catalog", catalog.where)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "holds no analysis record 'nope'" in result.stderr


def test_an_interrupted_run_replays_from_the_catalog(catalog, alike, monkeypatch):
    monkeypatch.setattr("xas_bluesky.decision.stopping.SURE", 1.1)
    beamline = Beamline(alike, catalog, raw=True)

    def pause(_, doc):
        if doc["seq_num"] == 25:
            threading.Thread(target=beamline.engine.request_pause).start()

    beamline.engine.subscribe(pause, "event")
    with pytest.raises(RunEngineInterrupted):
        beamline.measure(budget=Budget(points=60))
    beamline.engine.abort()
    beamline.writer.close()
    (found,) = catalog.search(sample="mine", limit=1)
    replayed = replay_record(catalog, found["record"])
    assert replayed.record.exit_status == "abort"
    assert is_same(replayed, 3)


def test_decisions_before_predictions_came_and_that_failed_are_recorded_and_replayed(alike, kept, monkeypatch):
    monkeypatch.setattr(session_module, "PREDICTION_PATIENCE", 0.05)
    monkeypatch.setattr("xas_bluesky.decision.stopping.SURE", 1.1)
    come, decide = threading.Event(), Recommender.decide

    class Late:
        def predict(self, candidates, edge, conformers=1):
            come.wait(60)
            return alike.predict(candidates, edge, conformers)

    def blind_at_first(self, absorption, spent):
        if len(absorption) > 20:
            come.set()
        if 30 < len(absorption) < 40:
            raise ArithmeticError("no decision")
        return decide(self, absorption, spent)

    monkeypatch.setattr(Recommender, "decide", blind_at_first)
    beamline = Beamline(alike, kept, predictor=Late())
    beamline.measure(budget=Budget(points=60))
    record = kept.records[0]
    reasons = [step.reason for step in record.decisions]
    assert reasons[:2] == ["first look", "no predictions yet: the conventional scan"]
    assert "failed: ArithmeticError: no decision" in reasons
    assert [step.learned for step in record.decisions][:2] == [0, 0]
    assert np.isnan(record.decisions[1].posterior).all()
    assert is_same(beamline.replayed(), 5)


class Improving:
    """An escalation that has the next candidate's spectrum computed before each decision from the second on."""

    def __init__(self, laboratory):
        self.exact = replace(laboratory.prediction.spectra, factors=0.02 * laboratory.prediction.spectra.factors[:, :1])
        self.led, self.done = [], []

    def of(self, _candidates):
        return self

    def refined(self, prediction):
        fresh = [name for name in self.led if name not in self.done][:1]
        if not fresh:
            return None
        self.done += fresh
        spectra = replace(self.exact.chosen(self.done), source=("theory",) * len(self.done))
        return replace(prediction, spectra=prediction.spectra.with_rows(spectra))

    def lead(self, names):
        self.led = names

    def remarks(self):
        return ()

    def end(self): ...


def test_a_decision_from_first_principles_is_replayed_with_what_was_computed_by_then(alike, kept, monkeypatch):
    monkeypatch.setattr("xas_bluesky.decision.stopping.SURE", 1.1)
    beamline = Beamline(alike, kept, escalation=Improving(alike))
    beamline.measure(budget=Budget(points=80))
    record = kept.records[0]
    assert [len(step.from_theory) for step in record.decisions][:4] == [0, 0, 1, 2]
    assert [step.learned for step in record.decisions][:4] == [1, 1, 2, 3]
    assert is_same(beamline.replayed(), 4)
    other = replace(record, inputs=replace(record.inputs, replaced=record.predicted))
    assert beamline.replayed(other).first_difference.decision == 1


def test_a_sample_that_was_visited_several_times_is_replayed_from_all_of_its_runs(alike, kept, monkeypatch):
    monkeypatch.setattr("xas_bluesky.decision.stopping.SURE", 1.1)
    beamline = Beamline(alike, kept)

    def go_to(_sample):
        yield from bps.null()

    samples = [Sample(name, alike.candidates, budget=Budget(points=45)) for name in ("one", "other")]
    beamline.engine(beamline.session.agent_xas_samples(samples, "S K", go_to))
    for record in kept.records:
        assert len(record.revisits) > 1
        assert is_same(beamline.replayed(record), 4)
    with pytest.raises(SpectrumError, match=r"the raw runs hold \d+ points, but \d+ were decided from"):
        beamline.replayed(replace(kept.records[0], revisits=()))


@pytest.fixture
def beamline(alike, kept):
    beamline = Beamline(alike, kept)
    beamline.measure()
    return beamline


def changed(record, index, **parts):
    steps = list(record.decisions)
    steps[index] = replace(steps[index], **parts)
    return replace(record, decisions=tuple(steps))


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ({"dwell": (0.1,)}, "dwell"),
        ({"posterior": (0.5, 0.25, 0.25)}, "probability of "),
        ({"none_of_these": 0.9}, "probability of none of these"),
        ({"none_of_these": float("nan")}, "probability of none of these"),
        ({"reason": "the weather"}, "reason"),
    ],
)
def test_whatever_is_not_as_recorded_is_found_and_shown(beamline, parts, what):
    replayed = beamline.replayed(changed(beamline.catalog.records[0], 1, **parts))
    difference = replayed.first_difference
    assert difference.decision == 1
    assert difference.what.startswith(what)
    assert replayed.same_choices == (what != "dwell")
    assert (replayed.largest_difference > SAME) == what.startswith("probability")
    json.dumps(replayed.to_json(), allow_nan=False)
    console = Console(width=200)
    with console.capture() as capture:
        console.print(replay_report(replayed))
    assert f"decision 1 differs: {difference.what}" in capture.get()


def test_what_it_was_decided_from_is_all_that_counts(beamline):
    record = beamline.catalog.records[0]
    gap = replace(record.inputs.gap, temper=0.5)
    replayed = beamline.replayed(replace(record, inputs=replace(record.inputs, gap=gap, version="0.0.1")))
    assert replayed.first_difference.decision == 1
    assert replayed.to_json()["version"] == "0.0.1"
    assert replayed.to_json()["version_here"] != "0.0.1"


def test_a_record_from_before_is_refused_with_the_reason(beamline):
    with pytest.raises(InputError, match="can be read, but not replayed"):
        beamline.replayed(replace(beamline.catalog.records[0], inputs=None))
    with pytest.raises(InputError, match="holds no decision"):
        beamline.replayed(replace(beamline.catalog.records[0], decisions=()))


def test_the_agent_itself_decides_again(beamline, monkeypatch):
    asked = []
    ask = Agent.ask
    monkeypatch.setattr(Agent, "ask", lambda self: asked.append(self) or ask(self))
    replayed = beamline.replayed()
    assert len(asked) == len(replayed.again) - 1
