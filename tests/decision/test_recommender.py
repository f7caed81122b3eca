import numpy as np
import pytest

from xas_bluesky.beamline import conventional_scan
from xas_bluesky.decision import Budget, Recommender, ScanRequest, Spent, stopping
from xas_bluesky.decision.recommender import SHORTEST
from xas_bluesky.errors import EdgeError, SpectrumError
from xas_bluesky.spectra import Absorption

SCAN = conventional_scan("S K")
ALIKE = {"plain": [(2473.0, 3.0)], "shouldered": [(2473.0, 3.0), (2477.5, 0.8)]}


def run(recommender, sample, noise=0.01):
    """Measure what is recommended until it stops; return the requests and decisions."""
    rng = np.random.default_rng(0)
    request, requests, decisions = recommender.scout(), [], []
    energy, mu, variance = np.zeros((3, 0))
    while request is not None:
        requests.append(request)
        counted = noise**2 / request.dwell
        energy = np.append(energy, request.energy)
        mu = np.append(mu, sample(request.energy) + np.sqrt(counted) * rng.standard_normal(len(request)))
        variance = np.append(variance, counted)
        seconds = float(sum((request.dwell + 0.5).sum() for request in requests))
        decisions.append(recommender.decide(Absorption(energy, mu, variance), Spent(len(energy), seconds, 1e8 * seconds)))
        request = decisions[-1].request
    return requests, decisions


def made(laboratory, learn=True, **limits):
    recommender = Recommender("S K", SCAN, gap=laboratory.gap, budget=Budget(**limits))
    if learn:
        recommender.learn(laboratory.prediction)
    return recommender


def points(requests):
    return sum(len(request) for request in requests)


def test_the_first_request_reaches_over_the_edge_within_the_conventional_scan(laboratory):
    scout = made(laboratory).scout()
    assert (scout.energy < 2470).sum() >= 2
    assert (scout.energy > 2490).sum() >= 2
    blind = made(laboratory, learn=False).scout()
    assert blind.energy[0] == SCAN.energy[0]
    assert blind.energy[-1] == SCAN.energy[-1]
    narrow = Recommender("S K", ScanRequest(2472.0 + np.arange(-10, 21), np.ones(31))).scout()
    assert (narrow.energy[0], narrow.energy[-1]) == (2462.0, 2492.0)


@pytest.mark.parametrize("name", ["thiol", "sulfoxide", "sulfone"])
def test_a_run_ends_sure_of_the_right_candidate_with_few_points(laboratory, name):
    requests, decisions = run(made(laboratory), laboratory.sample(name))
    assert decisions[-1].reason.startswith("sure: ")
    assert decisions[-1].reason.endswith(name)
    assert points(requests) < len(SCAN) / 4


@pytest.mark.parametrize("name", ALIKE)
def test_likeness_takes_more_steps_which_look_where_it_ends(make_laboratory, name):
    laboratory = make_laboratory(ALIKE)
    requests, decisions = run(made(laboratory), laboratory.sample(name))
    assert decisions[0].reason == "information gain"
    assert 0 < decisions[0].gain < np.log(2) + 1e-9
    assert decisions[0].seconds == pytest.approx(1.0 + requests[1].dwell.sum() + 0.5 * len(requests[1]))
    assert decisions[-1].reason.startswith("sure: ")
    assert decisions[-1].answer.ranking[0].candidate == name
    assert np.abs(requests[1].energy - 2476.7).min() < 1.5


def test_every_chosen_point_is_one_of_the_conventional_scan_and_dwells_no_longer(make_laboratory):
    laboratory = make_laboratory(ALIKE)
    requests, _ = run(made(laboratory), laboratory.sample("plain"), noise=0.002)
    assert len(requests) > 1
    for request in requests[1:]:
        assert np.isin(request.energy, SCAN.energy).all()
        assert ((request.dwell >= SHORTEST) & (request.dwell <= 1.0)).all()
    assert requests[1].dwell.max() < 0.5, "counting longer than theory is good for"


def test_no_energy_cell_is_measured_twice_as_theory_errs_there_once(make_laboratory, monkeypatch):
    monkeypatch.setattr(stopping, "SURE", 1.1)
    laboratory = make_laboratory(ALIKE)
    requests, decisions = run(made(laboratory, points=1000), laboratory.sample("plain"))
    measured = np.concatenate([request.energy for request in requests])
    chosen = np.concatenate([request.energy for request in requests[1:]])  # the first request, the scout, is fixed
    assert np.diff(np.sort(chosen)).min() > laboratory.gap.cell / 2 - 1e-9
    assert np.abs(chosen[:, None] - requests[0].energy).min() > laboratory.gap.cell / 2 - 1e-9
    assert len(measured) < 130
    assert decisions[-1].reason == "all energies are measured: the candidates left cannot be told apart"


def test_points_lost_with_the_beam_are_measured_again(make_laboratory):
    laboratory = make_laboratory(ALIKE)
    recommender = made(laboratory)
    seen = recommender.scout().energy
    answer = Absorption(seen, laboratory.sample("plain")(seen), np.full(len(seen), 1e-4))
    wanted = recommender.decide(answer, Spent(13, 20.0, 1e9)).request.energy
    dark = Absorption(np.append(seen, wanted), np.append(answer.mu, 0 * wanted), np.append(answer.variance, wanted * np.inf))
    assert recommender.decide(dark, Spent(17, 26.0, 1e9)).request.energy.tolist() == wanted.tolist()


def test_noisy_data_is_counted_longer(make_laboratory):
    laboratory = make_laboratory(ALIKE)
    requests, _ = run(made(laboratory), laboratory.sample("plain"), noise=0.05)
    assert requests[1].dwell.max() > 1.5 * run(made(laboratory), laboratory.sample("plain"), noise=0.002)[0][1].dwell.max()


def test_a_spectrum_like_none_is_said_to_be_none(laboratory):
    _, decisions = run(made(laboratory), laboratory.sample([(2470.0, 3.0), (2477.5, 3.0)]))
    assert decisions[-1].reason.startswith("none of these: ")


def test_while_none_leads_the_whole_spectrum_is_measured(laboratory, monkeypatch):
    monkeypatch.setattr(stopping, "SURE", 1.1)
    requests, decisions = run(made(laboratory, points=1000), laboratory.sample([(2470.0, 3.0), (2477.5, 3.0)]))
    assert all(decision.reason.endswith("leads: the whole spectrum") for decision in decisions[:-1])
    assert decisions[-1].reason.startswith("none of these: ")
    assert decisions[-1].reason.endswith("the conventional scan is complete")
    measured = np.concatenate([request.energy for request in requests])
    assert np.abs(SCAN.energy[:, None] - measured).min(axis=1).max() < 0.05


@pytest.mark.parametrize("limit", [6, 13, 16, 30])
@pytest.mark.parametrize("learn", [True, False])
def test_the_points_of_the_budget_are_never_exceeded(laboratory, monkeypatch, limit, learn):
    monkeypatch.setattr(stopping, "SURE", 1.1)
    requests, decisions = run(made(laboratory, learn, points=limit), laboratory.sample("thiol"))
    assert points(requests) == limit
    assert decisions[-1].reason == f"budget: {limit} of {limit} points are spent"


@pytest.mark.parametrize(("limits", "kind"), [({"seconds": 30.0}, "seconds"), ({"photons": 3e9}, "photons")])
@pytest.mark.parametrize("learn", [True, False])
def test_seconds_and_photons_end_a_run_too(laboratory, monkeypatch, limits, kind, learn):
    monkeypatch.setattr(stopping, "SURE", 1.1)
    requests, decisions = run(made(laboratory, learn, **limits), laboratory.sample("thiol"))
    assert decisions[-1].reason.endswith(f"{kind} are spent")
    assert points(requests) < 60


def test_without_predictions_the_conventional_scan_is_measured_once(laboratory):
    recommender = made(laboratory, learn=False, points=1000)
    assert not recommender.ready
    requests, decisions = run(recommender, laboratory.sample("thiol"))
    assert {decision.reason for decision in decisions[:-1]} == {"no predictions yet: the conventional scan"}
    assert decisions[-1].reason == "the conventional scan is complete"
    measured = np.sort(np.concatenate([request.energy for request in requests]))
    assert (np.diff(measured) > 0.05).all()
    assert np.abs(SCAN.energy[:, None] - measured).min(axis=1).max() < 0.05


def test_predictions_that_come_late_are_used(laboratory):
    recommender = made(laboratory, learn=False)
    scout = recommender.scout()
    seen = Absorption(scout.energy, laboratory.sample("sulfone")(scout.energy), np.full(len(scout), 1e-5))
    assert recommender.decide(seen, Spent(len(scout), 20.0, 1e9)).answer is None
    recommender.learn(laboratory.prediction)
    assert recommender.ready
    assert recommender.decide(seen, Spent(len(scout), 20.0, 1e9)).answer.ranking[0].candidate == "sulfone"


def test_what_cannot_be_compared_is_an_error(laboratory):
    dark = Absorption(SCAN.energy, np.zeros(len(SCAN)), np.full(len(SCAN), np.inf))
    with pytest.raises(SpectrumError, match="the edge step is not known"):
        made(laboratory).decide(dark, Spent(13, 20.0, 1e9))


def test_an_unknown_edge_is_refused():
    with pytest.raises(EdgeError, match="Xx K"):
        Recommender("Xx K", SCAN)
