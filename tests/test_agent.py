import dataclasses
import threading
from concurrent.futures import Future

import numpy as np
import pytest

from xas_bluesky.agent import Agent
from xas_bluesky.beamline import conventional_scan
from xas_bluesky.decision import Recommender, Spent, anchors_for
from xas_bluesky.documents import Collector
from xas_bluesky.errors import PredictionError, SpectrumError


def collected(sample, energy):
    """A collector that has seen a run of noise-free counts at these energies."""
    collector = Collector()
    noise = {"i0": "photons", "fluorescence": "photons"}
    collector("start", {"uid": "run", "time": 0.0, "xas": {"edge": "S K", "noise": noise}})
    keys = {key: {"dtype": "number", "shape": [], "source": ""} for key in ("energy", "i0", "fluorescence")}
    collector("descriptor", {"uid": "stream", "run_start": "run", "name": "primary", "data_keys": keys})
    for number, (at, mu) in enumerate(zip(energy, sample(energy), strict=True), 1):
        data = {"energy": at, "i0": 1e8, "fluorescence": round(1e6 * (0.1 + mu))}
        collector("event", {"descriptor": "stream", "seq_num": number, "time": float(number), "data": data})
    return collector


@pytest.fixture
def recommender(laboratory):
    return Recommender("S K", conventional_scan("S K"), gap=laboratory.gap)


@pytest.fixture
def collector(laboratory, recommender):
    return collected(laboratory.sample("sulfone"), recommender.scout().energy)


def spent(points):
    return Spent(points, 2.0 * points, 1e9 * points)


def done(result):
    future = Future()
    future.set_result(result)
    return future


def test_a_decision_is_made_from_what_was_collected_and_remembered(laboratory, recommender, collector):
    threads = []
    watch = lambda step: threads.append((threading.current_thread().name, step))  # noqa: E731
    with Agent(collector, recommender, done(laboratory.prediction), spent, watch) as agent:
        assert np.array_equal(agent.scout().energy, recommender.scout().energy)
        decision = agent.ask().result(10)
    (step,) = agent.steps
    assert step.decision is decision
    assert decision.reason.startswith("sure")
    assert decision.answer.ranking[0].candidate == "sulfone"
    assert step.spent == spent(len(step.absorption)) == spent(13)
    assert threads[0][0].startswith("xas-agent")
    assert threads[0][1] is step
    assert not agent.errors


def test_predictions_are_taken_in_when_they_come(laboratory, recommender, collector):
    prediction = Future()
    with Agent(collector, recommender, prediction, spent) as agent:
        assert agent.ask().result(10).answer is None
        prediction.set_result(laboratory.prediction)
        assert agent.ask().result(10).answer is not None
    assert [step.decision.answer is None for step in agent.steps] == [True, False]


def test_an_error_is_logged_kept_and_raised_by_the_future(recommender, caplog):
    with Agent(Collector(), recommender, Future(), spent) as agent:
        with pytest.raises(SpectrumError, match="subscribe before the scan"):
            agent.ask().result(10)
        assert "no decision could be made; the conventional scan goes on" in caplog.text
        assert agent.errors[0].startswith("SpectrumError: an absorption scan was not collected")
        assert not agent.steps


def test_predictions_that_failed_are_an_error_of_each_decision(recommender, collector):
    prediction = Future()
    prediction.set_exception(PredictionError("the predictor gave no answer"))
    with Agent(collector, recommender, prediction, spent) as agent:
        for _ in range(2):
            with pytest.raises(PredictionError):
                agent.ask().result(10)
    assert agent.errors == ["PredictionError: the predictor gave no answer"] * 2


def test_a_watcher_that_fails_does_not_cost_the_decision(laboratory, recommender, collector, caplog):
    def watch(_step):
        raise ZeroDivisionError

    with Agent(collector, recommender, done(laboratory.prediction), spent, watch) as agent:
        assert agent.ask().result(10).answer is not None
    assert len(agent.steps) == 1
    assert not agent.errors
    assert "could not be shown" in caplog.text


def test_anchors_are_measured_first_and_again_every_dozen_points(laboratory, recommender, monkeypatch):
    monkeypatch.setattr("xas_bluesky.decision.stopping.SURE", 1.1)
    anchor = anchors_for("S K", recommender.conventional)
    measured = Growing(laboratory.sample("sulfone"))
    with Agent(measured, recommender, done(laboratory.prediction), spent, anchor=anchor) as agent:
        agent.prepare().result(10)
        request = agent.scout()
        anchored = []
        while request is not None and len(anchored) < 6:
            measured.energy = np.append(measured.energy, request.energy)
            anchored.append(set(anchor.energies) <= set(request.energy.tolist()))
            request = agent.ask().result(10).request
    assert anchored[0]
    assert 2 <= sum(anchored) < len(anchored)
    assert not agent.errors


class Growing:
    """Points measured so far, of counts without noise."""

    def __init__(self, sample):
        self.sample, self.energy = sample, np.zeros(0)

    def spectrum(self):
        return collected(self.sample, self.energy).spectrum()

    def settings(self):
        return collected(self.sample, self.energy[:1]).settings()


def test_a_better_prediction_is_asked_for_before_each_decision(laboratory, recommender, collector):
    class Refiner:
        led = ()

        def refined(self, prediction):
            if not self.led:
                return None
            source = tuple("theory" if name in self.led[:1] else "model" for name in prediction.spectra.candidate)
            return dataclasses.replace(prediction, spectra=dataclasses.replace(prediction.spectra, source=source))

        def lead(self, names):
            self.led = names

        def remarks(self):
            return ("thiol is left",)

        def end(self):
            self.ended = True

    refiner = Refiner()
    with Agent(collector, recommender, done(laboratory.prediction), spent, refiner=refiner) as agent:
        for _ in range(2):
            agent.ask().result(10)
    assert refiner.led[0] == "sulfone"
    assert refiner.ended
    assert agent.problems == ("thiol is left",)
    assert [step.from_theory for step in agent.steps] == [(), ("sulfone",)]
    assert agent.known.spectra.source.count("theory") == 1
