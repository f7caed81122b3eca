"""Several samples on one simulated beamline, with a stage that a plan moves, and a real RunEngine."""

import bluesky.plan_stubs as bps
import pytest
from bluesky import RunEngine

from xas_bluesky.beamline_sim import SimulatedBeamline
from xas_bluesky.decision import Budget
from xas_bluesky.errors import CandidateError, InputError
from xas_bluesky.investigation import Sample
from xas_bluesky.session import Session
from xas_bluesky.simulation import devices_of


class Stage:
    """A stage with samples on it; one that is missing cannot be gone to."""

    def __init__(self, laboratory, **mounted):
        self.laboratory, self.mounted = laboratory, mounted
        self.present = next(iter(mounted))
        self.visited = []
        self.beamline = SimulatedBeamline(lambda energy: laboratory.sample(mounted[self.present])(energy), "S K")

    def go_to(self, sample):
        yield from bps.null()
        self.visited.append(sample.name)
        if sample.name not in self.mounted:
            raise TimeoutError(f"the stage cannot reach {sample.name}")
        self.present = sample.name


class Measured:
    """What a plan for several samples led to."""

    def __init__(self, stage, samples, kept, predictor=None, **options):
        self.session = Session(devices_of(stage.beamline), predictor or stage.laboratory, kept)
        self.starts, self.stops, self.events = [], [], []
        engine = RunEngine({}, call_returns_result=True)
        engine.subscribe(lambda _, doc: self.starts.append(doc), "start")
        engine.subscribe(lambda _, doc: self.stops.append(doc), "stop")
        engine.subscribe(lambda _, doc: self.events.append(doc), "event")
        plan = self.session.agent_xas_samples(samples, "S K", stage.go_to, **options)
        self.outcomes = engine(plan).plan_result

    def order(self):
        return [start["sample_name"] for start in self.starts]


@pytest.fixture
def stage(laboratory):
    return Stage(laboratory, first="sulfoxide", second="thiol")


def test_each_sample_is_answered_from_all_of_its_visits(stage, laboratory, kept):
    samples = [Sample(name, laboratory.candidates, spot="center") for name in ("first", "second")]
    measured = Measured(stage, samples, kept)
    assert [outcome.answer.ranking[0].candidate for outcome in measured.outcomes] == ["sulfoxide", "thiol"]
    assert [record.sample for record in kept.records] == ["first", "second"]
    assert len({start["xas_session"] for start in measured.starts}) == 1
    assert {start["plan_name"] for start in measured.starts} == {"agent_xas_samples"}
    assert {start["spot"] for start in measured.starts} == {"center"}
    for outcome in measured.outcomes:
        own = [start["uid"] for start in measured.starts if start["sample_name"] == kept.records[int(outcome.record)].sample]
        assert own == [outcome.raw_uid, *outcome.revisits]
        points = sum(stop["num_events"]["primary"] for stop in measured.stops if stop["run_start"] in own)
        assert outcome.spent.points == points
    photons = [outcome.spent.photons for outcome in measured.outcomes]
    assert sum(photons) == pytest.approx(stage.beamline.photons)


def test_the_operators_priority_comes_first_and_nobody_starves(stage, laboratory, kept, monkeypatch):
    monkeypatch.setattr("xas_bluesky.decision.stopping.SURE", 1.1)
    budget = Budget(points=60)
    samples = [Sample("first", laboratory.candidates, priority=1.0, budget=budget)]
    samples += [Sample("second", laboratory.candidates, priority=100.0, budget=budget)]
    measured = Measured(stage, samples, kept)
    order = measured.order()
    assert order[0] == "second"
    assert order.count("first") > 1
    assert order.count("second") > 1
    assert [outcome.spent.points for outcome in measured.outcomes] == [60, 60]


def test_a_sample_that_cannot_be_reached_does_not_keep_the_others(stage, laboratory, kept):
    samples = [Sample(name, laboratory.candidates, priority=priority) for name, priority in (("lost", 9.0), ("second", 1.0))]
    lost, second = Measured(stage, samples, kept).outcomes
    assert isinstance(lost, TimeoutError)
    assert "the stage cannot reach lost" in str(lost)
    assert second.answer.ranking[0].candidate == "thiol"
    assert stage.visited.count("lost") == 1


def test_a_sample_that_is_lost_on_the_way_keeps_what_was_answered(stage, laboratory, kept, monkeypatch):
    monkeypatch.setattr("xas_bluesky.decision.stopping.SURE", 1.1)
    arrive = stage.go_to

    def go_to(sample):
        yield from arrive(sample)
        if sample.name == "first" and stage.visited.count("first") == 2:
            raise TimeoutError("the stage is stuck")

    stage.go_to = go_to
    budget = Budget(points=30)
    samples = [Sample(name, laboratory.candidates, budget=budget) for name in stage.mounted]
    first, second = Measured(stage, samples, kept).outcomes
    assert first.stop_reason == "interrupted: TimeoutError: the stage is stuck"
    assert kept.records[0].exit_status == "fail"
    assert 10 < first.spent.points < 30
    assert second.spent.points == 30


def test_candidates_that_cannot_be_predicted_do_not_keep_the_others(stage, laboratory, kept):
    class Strict:
        def predict(self, candidates, edge, conformers=1):
            if len(candidates) == 1:
                raise CandidateError("'C1' is not a valid SMILES")
            return laboratory.predict(candidates, edge, conformers)

    bad, good = Sample("first", laboratory.candidates[:1]), Sample("second", laboratory.candidates)
    first, second = Measured(stage, [bad, good], kept, Strict()).outcomes
    assert isinstance(first, InputError)
    assert second.answer.ranking[0].candidate == "thiol"
    assert [record.sample for record in kept.records] == ["second"]


def test_the_time_for_all_is_kept(stage, laboratory, kept, monkeypatch):
    monkeypatch.setattr("xas_bluesky.decision.stopping.SURE", 1.1)
    samples = [Sample(name, laboratory.candidates) for name in stage.mounted]
    outcomes = Measured(stage, samples, kept, seconds=40.0).outcomes
    assert 40 <= sum(outcome.spent.seconds for outcome in outcomes) < 80
    assert {outcome.stop_reason for outcome in outcomes} == {"budget: the 40 seconds for all samples are spent"}


def test_a_broken_detector_ends_it_with_a_record_of_each_sample(stage, laboratory, kept, monkeypatch):
    monkeypatch.setattr("xas_bluesky.decision.stopping.SURE", 1.1)
    scaler, trigger = stage.beamline.scaler, stage.beamline.scaler.trigger

    def fail_later():
        if stage.beamline.photons > 4e9:
            raise TimeoutError("the scaler does not answer")
        return trigger()

    scaler.trigger = fail_later
    samples = [Sample(name, laboratory.candidates) for name in stage.mounted]
    with pytest.raises(TimeoutError):
        Measured(stage, samples, kept)
    assert {record.sample for record in kept.records} == {"first", "second"}
    assert {record.exit_status for record in kept.records} == {"fail"}
