"""The plans that people type, with a real RunEngine on the simulated beamline."""

import inspect
import math

import bluesky.plan_stubs as bps
import pytest
from bluesky import RunEngine

from xas_bluesky.beamline_sim import SimulatedBeamline
from xas_bluesky.decision import Budget
from xas_bluesky.edges import find_edge
from xas_bluesky.errors import CandidateError, EdgeError, SettingsError
from xas_bluesky.investigation import Sample
from xas_bluesky.results.inputs import version_here
from xas_bluesky.session import Session
from xas_bluesky.simulation import devices_of
from xas_bluesky.user_plans import UserPlans


class Beamline:
    """A session's plans and its RunEngine, with two samples on the stage."""

    def __init__(self, laboratory, kept, **tables):
        self.simulated = SimulatedBeamline([laboratory.sample(name) for name in ("sulfoxide", "thiol")], "S K")
        devices = devices_of(self.simulated)
        object.__setattr__(devices, "settings", devices.settings.overridden(tables, "test"))
        self.session = Session(devices, laboratory, kept)
        self.plans = UserPlans(self.session)
        self.engine = RunEngine({}, call_returns_result=True)
        self.documents = []
        self.engine.subscribe(lambda name, doc: self.documents.append((name, doc)))

    def run(self, plan):
        return self.engine(plan).plan_result

    def of(self, name):
        return [doc for kind, doc in self.documents if kind == name]

    @property
    def energies(self):
        return [doc["data"]["energy_setpoint"] for doc in self.of("event") if "energy" in doc["data"]]


@pytest.fixture
def beamline(laboratory, kept):
    return Beamline(laboratory, kept)


E0 = find_edge("S K").energy


def test_xas_measures_the_regions_and_says_what_was_asked(laboratory, kept):
    tables = {
        "beamline": {"facility": "Ring", "name": "8-BM"},
        "mono": {"name": "Si(111)", "d_spacing": 3.1356},
    }
    beamline = Beamline(laboratory, kept, **tables)
    asked = {"bounds": "-10 1 4k", "steps": "5 0.5k", "times": "0.5 0.25k", "sample": "gypsum", "repeats": 2}
    uids = beamline.run(beamline.plans.xas("S K", **asked, md={"proposal": 7}))
    starts = beamline.of("start")
    assert uids == tuple(start["uid"] for start in starts)
    assert [start["repeat"] for start in starts] == [1, 2]
    one = len(beamline.energies) // 2
    assert beamline.energies[:2] == [pytest.approx(E0 - 10), pytest.approx(E0 - 5)]
    assert beamline.energies[one - 1] == pytest.approx(E0 + 16 / 0.2624683)
    start = starts[0]
    assert start["XDI"] == {
        "Element": {"symbol": "S", "edge": "K"},
        "Scan": {"edge_energy": E0},
        "Mono": {"name": "Si(111)", "d_spacing": 3.1356},
        "Sample": {"name": "gypsum"},
        "Facility": {"name": "Ring"},
        "Beamline": {"name": "8-BM"},
    }
    assert (start["element"], start["edge"], start["sample_name"]) == ("S", "K", "gypsum")
    assert (start["plan_name"], start["proposal"], start["xas_bluesky_version"]) == ("xas", 7, version_here())
    assert start["plan_args"] == {**asked, "edge": "S K", "spot": ""}


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        ({}, EdgeError, r"edge: none is named and none is set; give one, as in edge=\"S K\""),
        ({"edge": "sulfur"}, EdgeError, "edge 'sulfur': .* did you mean 'S K'"),
        ({"edge": "Cu M9"}, EdgeError, "knows no such edge.* did you mean 'Cu K' or 'Cu L1'"),
        ({"edge": "Cv K"}, EdgeError, "did you mean"),
        ({"edge": "S K", "bounds": "-10 b 20"}, SettingsError, r"bounds .*'b' is none, expected .* as in bounds="),
        ({"edge": "S K", "steps": "2 0.2"}, SettingsError, "4 bounds, 2 steps"),
        ({"edge": "S K", "times": "0"}, SettingsError, r"times \[0.0, 0.0, 0.0\] must be positive"),
        ({"edge": "S K", "repeats": 0}, SettingsError, "repeats: got 0, expected a whole number from 1 on"),
        ({"edge": "S K", "repeats": "two"}, SettingsError, "repeats: got 'two'"),
        ({"edge": "S K", "sample": " "}, SettingsError, r"sample: got ' ', expected its name, as in sample="),
        ({"edge": "Cu K"}, SettingsError, "the scan, .* lies outside 2000 to 3000 eV"),
    ],
)
def test_a_wrong_word_is_said_before_anything_moves(laboratory, kept, words, error, says):
    beamline = Beamline(laboratory, kept, mono={"low": 2000.0, "high": 3000.0})
    with pytest.raises(error, match=says):
        beamline.run(beamline.plans.xas(**words))
    assert beamline.simulated.elapsed == 0.0
    assert not beamline.documents


def test_change_edge_moves_the_mono_and_sets_the_edge_of_later_plans(beamline):
    reached = []

    def tune(edge):
        reached.append((str(edge), beamline.simulated.energy.position))
        yield from bps.null()

    beamline.session.after_change_edge.append(tune)
    assert beamline.run(beamline.plans.change_edge("cu k")) == "Cu K"
    assert reached == [("Cu K", pytest.approx(8979.0, abs=0.2))]
    beamline.run(beamline.plans.xas(bounds="-2 2", steps="1"))
    assert beamline.of("start")[-1]["xas"]["edge"] == "Cu K"
    assert beamline.run(beamline.plans.change_edge("S K", move=False)) == "S K"
    assert beamline.simulated.energy.position > 8000
    assert len(reached) == 1


def test_an_edge_that_cannot_be_reached_is_not_set(laboratory, kept):
    beamline = Beamline(laboratory, kept, mono={"high": 3000.0})
    with pytest.raises(SettingsError, match=r"edge Cu K: it lies at 8979.0 eV, outside the mono's 0 to 3000 eV"):
        beamline.run(beamline.plans.change_edge("Cu K"))
    with pytest.raises(EdgeError, match="did you mean 'Fe K'"):
        beamline.run(beamline.plans.change_edge("iron"))
    assert beamline.plans.edge is None
    assert beamline.simulated.elapsed == 0.0


def test_what_the_user_wants_done_is_done_before_each_sample(beamline, laboratory):
    done = []

    def align(sample):
        done.append((sample.name, len(beamline.documents), beamline.simulated.stage.position))
        yield from bps.null()

    beamline.session.before_sample.append(align)
    beamline.run(beamline.plans.xas("S K", bounds="-2 2", steps="1", sample="first", repeats=2))
    assert done == [("first", 0, 0)]
    beamline.run(beamline.plans.agent_xas(laboratory.candidates, "S K", "second", points=20))
    assert [name for name, *_ in done] == ["first", "second"]
    words = {"candidates": laboratory.candidates, "points": 30}
    samples = [{"name": "third", "slot": 0, **words}, {"name": "fourth", "slot": 1, **words}]
    beamline.run(beamline.plans.agent_xas_samples(samples, "S K"))
    assert {(name, slot) for name, _, slot in done[2:]} == {("third", 0), ("fourth", 1)}


@pytest.mark.parametrize("budget", [{"points": 20}, Budget(points=20), None])
def test_the_agent_takes_a_budget_in_any_form(beamline, laboratory, kept, monkeypatch, budget):
    monkeypatch.setattr("xas_bluesky.decision.stopping.SURE", 1.1)
    beamline.run(beamline.plans.change_edge("S K"))
    listed = [{"name": name, "structure": "S"} for name in laboratory.molecules]
    limits = {} if budget else {"points": 20, "seconds": 1e6}
    outcome = beamline.run(beamline.plans.agent_xas(listed, sample="lot 3", budget=budget, **limits))
    assert outcome.stop_reason == "budget: 20 of 20 points are spent"
    assert len(kept.records) == 1
    (start,) = beamline.of("start")
    assert start["plan_args"]["candidates"] == "3 in a list"
    assert start["plan_args"]["budget"]["points"] == 20
    assert all(math.isfinite(limit) for limit in start["plan_args"]["budget"].values())
    assert (start["plan_name"], start["sample_name"]) == ("agent_xas", "lot 3")


def test_several_samples_as_a_queue_has_them(beamline, laboratory, kept):
    words = {"candidates": laboratory.candidates, "points": 40}
    samples = [{"name": "first", "slot": 0, "priority": 2.0, **words}, {"name": "second", "slot": 1, "spot": "left", **words}]
    outcomes = beamline.run(beamline.plans.agent_xas_samples(samples, "S K", seconds=1e6))
    assert [outcome.answer.ranking[0].candidate for outcome in outcomes] == ["sulfoxide", "thiol"]
    assert [record.sample for record in kept.records] == ["first", "second"]
    assert beamline.of("start")[0]["plan_args"]["samples"] == ["first", "second"]


def test_a_plan_by_name_or_itself_brings_samples_into_the_beam(beamline, laboratory):
    gone = []

    def robot(sample):
        gone.append(sample.name)
        yield from bps.null()

    samples = [Sample("first", laboratory.candidates, budget=Budget(points=20))]
    beamline.run(beamline.plans.agent_xas_samples(samples, "S K", robot))
    beamline.session.go_to["robot"] = robot
    beamline.run(beamline.plans.agent_xas_samples(samples, "S K", go_to="robot"))
    assert gone == ["first", "first"]


@pytest.mark.parametrize(
    ("plan", "words", "error", "says"),
    [
        ("agent_xas", {"candidates": 3}, CandidateError, r"candidates: got 3, expected the path of a file"),
        ("agent_xas", {"candidates": ["CCS"]}, CandidateError, r"got 'CCS', expected as in .*structure"),
        ("agent_xas", {"candidates": "nowhere.smi"}, CandidateError, "nowhere.smi"),
        ("agent_xas", {"candidates": [], "budget": {"point": 3}}, SettingsError, "no limit 'point'; those there are: points"),
        ("agent_xas", {"candidates": [], "budget": 30}, SettingsError, "budget: got 30, expected limits by name"),
        ("agent_xas", {"candidates": [], "points": -1}, SettingsError, "points: got -1, expected a positive number"),
        ("agent_xas_samples", {"samples": []}, SettingsError, "samples: got none"),
        ("agent_xas_samples", {"samples": ["a"]}, SettingsError, "samples: got 'a', expected a dict of words"),
        ("agent_xas_samples", {"samples": [{"name": "a"}]}, SettingsError, "has no candidates"),
        ("agent_xas_samples", {"samples": [{"nam": "a"}]}, SettingsError, "'nam' is no word of a sample"),
        ("agent_xas_samples", {"samples": [{"name": "a", "candidates": []}]}, SettingsError, "no slot is given for a"),
        (
            "agent_xas_samples",
            {"samples": [{"name": "a", "candidates": []}], "go_to": "robot"},
            SettingsError,
            "go_to: got 'robot', expected one of 'stage'",
        ),
    ],
)
def test_what_is_wrong_for_the_agent_is_said_before_anything_moves(beamline, plan, words, error, says):
    with pytest.raises(error, match=says):
        beamline.run(getattr(beamline.plans, plan)(**words, edge="S K"))
    assert beamline.simulated.elapsed == 0.0
    assert not beamline.documents


def test_help_shows_an_example_and_describes_each_word(beamline):
    for name in ("xas", "change_edge", "agent_xas", "agent_xas_samples"):
        plan = getattr(beamline.plans, name)
        text = inspect.getdoc(plan)
        assert f"Example: RE({name}(" in text
        for word in inspect.signature(plan).parameters:
            assert f"\n{word} : " in text
