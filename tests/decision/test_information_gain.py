import numpy as np
import pytest

from xas_bluesky.comparison import compare, indistinguishable, make_hypotheses, provisional
from xas_bluesky.decision.information_gain import choose_energies
from xas_bluesky.session import conventional_scan
from xas_bluesky.spectra import Absorption

SCAN = conventional_scan("S K").energy
SCOUTED = 2472.0 + np.array([-30.0, -20.0, -4.0, 0.0, 6.0, 9.0, 16.0, 30.0, 45.0])


@pytest.fixture
def choose(make_laboratory):
    """Choose a batch among candidates after a first look at the sample, the first of them."""

    def chosen(molecules, count=4, variance=1e-4, seconds=1.0, energy=SCAN):
        laboratory = make_laboratory(molecules)
        prediction = laboratory.prediction
        hypotheses = make_hypotheses(prediction.spectra, prediction.population, laboratory.gap, 2472.0)
        seen = Absorption(SCOUTED, laboratory.sample(next(iter(molecules)))(SCOUTED), np.full(len(SCOUTED), 1e-4))
        posterior = compare(provisional(seen, 2472.0), hypotheses)
        groups = indistinguishable(hypotheses, SCAN)
        full = np.ones(len(energy))
        return choose_energies(posterior, hypotheses, groups, energy, variance * full, seconds * full, count)

    return chosen


MAIN, SHOULDER, AFTER = (2472.0, 3.0), (2476.8, 1.2), (2486.0, 1.2)
TWO = {"plain": [MAIN], "shouldered": [MAIN, SHOULDER]}


def test_energies_are_where_the_candidates_differ(choose):
    assert np.abs(choose(TWO) - 2476.0).max() < 2.5


def test_a_batch_is_increasing_without_repeats_and_on_the_scan(choose):
    batch = choose(TWO, count=8)
    assert len(batch) == 8
    assert (np.diff(batch) > 0).all()
    assert np.isin(batch, SCAN).all()


def test_a_batch_looks_at_every_difference_and_not_at_the_largest_only(choose):
    three = {"plain": [MAIN], "shouldered": [MAIN, SHOULDER], "after": [MAIN, AFTER]}
    batch = choose(three, count=4)
    assert np.abs(batch - 2476.0).min() < 2.0
    assert np.abs(batch - 2485.2).min() < 2.0


def test_energies_that_cost_too_much_are_not_chosen(choose):
    dear = np.where(np.abs(SCAN - 2476.0) < 1.0, 1000.0, 1.0)
    assert np.abs(choose(TWO, count=2, seconds=dear) - 2476.0).min() >= 1.0


def test_energies_that_count_too_slowly_are_not_chosen(choose):
    noisy = np.where(np.abs(SCAN - 2476.0) < 1.0, 1e3, 1e-4)
    assert np.abs(choose(TWO, count=2, variance=noisy) - 2476.0).min() >= 1.0


def test_no_more_energies_are_chosen_than_there_are(choose):
    assert choose(TWO, count=5, energy=SCAN[100:103]).tolist() == SCAN[100:103].tolist()


def test_candidates_that_nothing_tells_apart_do_not_steer(choose):
    assert len(choose({"a": [MAIN], "b": [MAIN]}, count=3)) == 3
