"""The adaptive plan on a real RunEngine and the simulated beamline; its decider is real, late, failing, or scripted."""

import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted

from xas_bluesky.agent import Agent
from xas_bluesky.beamline import conventional_scan
from xas_bluesky.beamline_sim import BeamlineSettings, SimulatedBeamline
from xas_bluesky.config import Mono, Settings
from xas_bluesky.decision import Decision, Recommender, ScanRequest, Spent, regions
from xas_bluesky.documents import Collector
from xas_bluesky.errors import EdgeError, SettingsError
from xas_bluesky.plans import agent_scan

SHORT = regions(2472.0, [-20, 0, 20], [2, 1], 1.0)


class Scripted:
    """Answer each question as `answer` says, on a thread of its own."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = 0

    def scout(self) -> ScanRequest:
        return ScanRequest(SHORT.energy[::10], SHORT.dwell[::10])

    def ask(self) -> Future:
        self.asked += 1
        future: Future = Future()

        def work():
            try:
                future.set_result(self.answer(self.asked))
            except Exception as error:
                future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        return future


def stop(_asked):
    return Decision(None, "enough", None)


@pytest.fixture
def beamline(laboratory):
    return SimulatedBeamline(laboratory.sample("thiol"), "S K", BeamlineSettings())


@pytest.fixture
def run(beamline):
    """Run the plan of a decider; return its documents."""

    def ran(decider, engine=None, **options):
        documents = []
        options = {"edge": "S K", "sample": "thiol", **options}
        plan = agent_scan(beamline.energy, beamline.dwell, beamline.detectors, decider, SHORT, **options)
        (engine or RunEngine({}))(plan, lambda name, doc: documents.append((name, doc)))
        return documents

    return ran


def measured(documents):
    return [doc["data"]["energy_setpoint"] for name, doc in documents if name == "event"]


def stopped(documents):
    (doc,) = (doc for name, doc in documents if name == "stop")
    return doc


def test_an_adaptive_run_ends_sure(laboratory):
    beamline = SimulatedBeamline(laboratory.sample("sulfoxide"), "S K", BeamlineSettings(seed=3))
    collector, scan, prediction = Collector(), conventional_scan("S K"), Future()
    prediction.set_result(laboratory.prediction)
    recommender = Recommender("S K", scan, gap=laboratory.gap)
    documents = []
    with Agent(collector, recommender, prediction, lambda n: Spent(n, beamline.elapsed, beamline.photons)) as agent:
        plan = agent_scan(
            beamline.energy, beamline.dwell, beamline.detectors, agent, scan, edge="S K", sample="x", md={"proposal": 7}
        )
        engine = RunEngine({}, call_returns_result=True)
        engine.subscribe(collector)
        result = engine(plan, lambda name, doc: documents.append((name, doc)))
    start = documents[0][1]
    assert result.plan_result == start["uid"]
    assert (start["plan_name"], start["sample_name"], start["proposal"]) == ("agent_scan", "x", 7)
    assert start["xas"]["edge"] == "S K"
    assert agent.steps[-1].decision.reason.startswith("sure: ")
    assert agent.steps[-1].decision.answer.ranking[0].candidate == "sulfoxide"
    assert agent.steps[-1].spent.points == len(measured(documents)) < len(scan) / 4
    assert stopped(documents)["exit_status"] == "success"


def test_what_is_asked_for_is_measured_in_one_run_of_one_stream(run):
    wanted = ScanRequest([2470.3, 2471.7], [0.5, 0.25])
    decider = Scripted(lambda asked: Decision(wanted if asked < 3 else None, "", None))
    documents = run(decider)
    assert decider.asked == 3
    assert measured(documents) == [*SHORT.energy[::10], *wanted.energy, *wanted.energy]
    assert [name for name, _ in documents].count("descriptor") == 1
    assert stopped(documents)["num_events"] == {"primary": len(measured(documents))}


def fail(_asked):
    raise ArithmeticError("no decision")


def test_a_decider_that_always_fails_leaves_the_conventional_scan(run, caplog):
    documents = run(Scripted(fail))
    assert sorted(measured(documents)) == SHORT.energy.tolist()
    assert stopped(documents)["exit_status"] == "success"
    assert not [record for record in caplog.records if record.name == "asyncio"], "exceptions that nobody took"


def test_a_decider_that_is_always_late_leaves_the_conventional_scan(run):
    release = threading.Event()
    try:
        documents = run(Scripted(lambda _: release.wait(60)), patience=0.05)
    finally:
        release.set()
    assert sorted(measured(documents)) == SHORT.energy.tolist()
    assert stopped(documents)["exit_status"] == "success"


def test_a_decider_that_recovers_is_followed_again(run):
    wanted = ScanRequest([2470.3], [0.5])

    def answer(asked):
        return fail(asked) if asked == 1 else Decision(wanted if asked == 2 else None, "", None)

    documents = run(Scripted(answer))
    scouted = len(SHORT.energy[::10])
    assert len(measured(documents)) == scouted + 8 + 1
    assert set(measured(documents)[scouted : scouted + 8]) <= set(SHORT.energy)
    assert measured(documents)[-1] == 2470.3


def test_the_run_engine_is_free_while_a_decision_takes_long(run):
    engine = RunEngine({})
    deciding, release = threading.Event(), threading.Event()
    ticks: list[float] = []

    def tick():
        ticks.append(time.monotonic())
        engine.loop.call_later(0.02, tick)

    def answer(_asked):
        engine.loop.call_soon_threadsafe(tick)
        deciding.set()
        release.wait(60)
        return Decision(None, "", None)

    def watch():
        assert deciding.wait(60)
        deadline = time.monotonic() + 60
        while len(ticks) < 40 and time.monotonic() < deadline:  # some 0.8 s of a free loop
            time.sleep(0.01)
        release.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    run(Scripted(answer), engine=engine)
    watcher.join()
    assert len(ticks) >= 40
    assert np.median(np.diff(ticks[:40])) < 0.1


def test_a_pause_during_a_decision_repeats_no_point(run):
    engine = RunEngine({})
    release = threading.Event()
    documents = []

    def answer(asked):
        if asked == 1:
            engine.request_pause()
            release.wait(60)
        return Decision(None, "enough", None)

    decider = Scripted(answer)
    engine.subscribe(lambda name, doc: documents.append((name, doc)))
    with pytest.raises(RunEngineInterrupted):
        run(decider, engine=engine)
    assert engine.state == "paused"
    release.set()
    engine.resume()
    assert measured(documents) == SHORT.energy[::10].tolist()
    assert stopped(documents)["exit_status"] == "success"


def test_an_abort_during_a_decision_does_not_wait_for_it(run, laboratory):
    engine = RunEngine({})
    release, decided = threading.Event(), threading.Event()

    class Slow(Recommender):
        def decide(self, absorption, spent):  # noqa: ARG002
            engine.request_pause()
            release.wait(20)
            decided.set()
            return Decision(None, "too late", None)

    collector, prediction = Collector(), Future()
    prediction.set_result(laboratory.prediction)
    engine.subscribe(collector)
    try:
        with Agent(collector, Slow("S K", SHORT), prediction, lambda n: Spent(n, 0.0, 0.0)) as agent:
            with pytest.raises(RunEngineInterrupted):
                run(agent, engine=engine)
            engine.abort()
        assert not decided.is_set()
        assert collector.spectrum().metadata["exit_status"] == "abort"
    finally:
        release.set()


def test_an_unknown_edge_stops_before_anything_moves(run, beamline):
    with pytest.raises(EdgeError, match="'sulfur'"):
        run(Scripted(stop), edge="sulfur")
    assert beamline.elapsed == 0.0


def test_what_is_asked_for_stays_within_the_limits(run):
    settings = Settings(mono=Mono(low=2460.0, high=2480.0, backlash=1.0))
    far = ScanRequest([2400.0, 2475.3, 2600.0], [1.0] * 3)
    farther = ScanRequest([2600.0], [1.0])
    answers = {1: far, 2: farther}
    documents = run(Scripted(lambda asked: Decision(answers.get(asked), "", None)), settings=settings)
    scout = [energy for energy in SHORT.energy[::10] if 2460 <= energy <= 2480]
    found = measured(documents)
    assert found[: len(scout) + 1] == [*scout, 2475.3]
    assert len(found) == len(scout) + 1 + 8  # for what lies outside, a piece of the conventional scan
    assert 2460 <= min(found) <= max(found) <= 2480


def test_nothing_within_the_limits_is_said_before_anything_moves(run, beamline):
    with pytest.raises(SettingsError, match="lies outside"):
        run(Scripted(stop), settings=Settings(mono=Mono(high=2000.0)))
    assert beamline.elapsed == 0.0
