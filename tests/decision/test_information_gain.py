from dataclasses import replace

import numpy as np
import pytest

from xas_bluesky.beamline import conventional_scan
from xas_bluesky.comparison import Belief, grouping, make_hypotheses
from xas_bluesky.decision.information_gain import Cost, Offer, Unknown, choose_points
from xas_bluesky.spectra import Absorption

SCAN = conventional_scan("S K").energy
SCOUTED = 2472.0 + np.array([-30.0, -20.0, -4.0, 0.0, 6.0, 9.0, 16.0, 30.0, 45.0])


def test_what_is_unknown_after_some_points_is_the_variance_given_their_outcomes():
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((3, 7, 5))
    covariance, error = draws @ np.swapaxes(draws, 1, 2), 0.1
    unknown = Unknown(covariance, 4)
    points = [5, 2, 3]
    for point in points:
        unknown.measure(point, unknown.variance[:, point] + error)
    across = covariance[:, :, points]
    outcomes = across[:, points] + error * np.eye(3)
    expected = covariance - across @ np.linalg.solve(outcomes, np.swapaxes(across, 1, 2))
    assert unknown.variance == pytest.approx(np.diagonal(expected, axis1=1, axis2=2))


@pytest.fixture
def choose(make_laboratory):
    """Choose a batch among candidates after a first look at the sample, the first of them."""

    def chosen(molecules, count=4, variance=1e-4, energy=SCAN, cost=None, groups=None, **changes):
        laboratory = make_laboratory(molecules)
        prediction = laboratory.prediction
        belief = Belief(make_hypotheses(prediction.spectra, prediction.population, replace(laboratory.gap, **changes)))
        belief.update(Absorption(SCOUTED, laboratory.sample(next(iter(molecules)))(SCOUTED), np.full(len(SCOUTED), 1e-4)))
        groups = groups or grouping(belief.hypotheses).groups(range(len(molecules)))
        offer = Offer(energy, variance * np.ones(len(energy)), 0.1, 1.0)
        return choose_points(belief, groups, offer, cost or Cost(), 2472.0, count)

    return chosen


MAIN, SHOULDER, AFTER = (2472.0, 3.0), (2476.8, 1.2), (2486.0, 1.2)
TWO = {"plain": [MAIN], "shouldered": [MAIN, SHOULDER]}


def test_energies_are_where_the_candidates_differ(choose):
    assert np.abs(choose(TWO).energy - 2476.0).max() < 2.5


def test_a_batch_is_increasing_without_repeats_on_the_scan_and_within_its_dwells(choose):
    batch = choose(TWO, count=8)
    assert 1 <= len(batch.energy) <= 8
    assert (np.diff(batch.energy) > 0).all()
    assert np.isin(batch.energy, SCAN).all()
    assert ((batch.dwell >= 0.1) & (batch.dwell <= 1.0)).all()
    assert batch.seconds == pytest.approx(1.0 + 0.5 * len(batch.energy) + batch.dwell.sum())


def test_a_batch_looks_at_every_difference_and_not_at_the_largest_only(choose):
    three = {"plain": [MAIN], "shouldered": [MAIN, SHOULDER], "after": [MAIN, AFTER]}
    batch = choose(three, count=4).energy
    assert np.abs(batch - 2476.0).min() < 2.0
    assert np.abs(batch - 2485.2).min() < 2.5


def test_energies_far_from_the_mono_cost_its_motion(choose):
    three = {"plain": [MAIN], "shouldered": [MAIN, SHOULDER], "after": [MAIN, AFTER]}
    slow = choose(three, count=4, cost=Cost(speed=0.2))
    assert np.ptp(slow.energy) <= np.ptp(choose(three, count=4).energy)
    assert slow.seconds > (np.abs(slow.energy[0] - 2472.0) + np.ptp(slow.energy)) / 0.2


def test_energies_that_count_too_slowly_are_not_chosen(choose):
    noisy = np.where(np.abs(SCAN - 2476.0) < 1.0, 1e3, 1e-4)
    assert np.abs(choose(TWO, count=2, variance=noisy).energy - 2476.0).min() >= 1.0


def test_points_are_counted_no_longer_than_the_model_is_good_for(choose):
    assert choose(TWO, variance=1e-7).dwell.max() == pytest.approx(0.1)
    assert choose(TWO, variance=1e-2).dwell.max() > 0.25


def test_what_is_gained_falls_with_noise_and_stays_below_what_there_is_to_know(choose):
    quiet, loud = choose(TWO, variance=1e-6).gain, choose(TWO, variance=1.0).gain
    assert 0 < loud < quiet < np.log(2) + 1e-9


def test_energies_that_share_their_error_are_not_chosen_together(choose):
    def chosen(length):
        near, apart = np.arange(2473.2, 2480.0, 0.4), ((0,), (1,))
        small = {"warp_sd": 0.1, "strength_sd": 0.1, "smooth_sd": 0.05, "fine_sd": 0.3, "fine_length": length}
        return choose(TWO, count=3, energy=near, groups=apart, **small).energy

    assert len(chosen(0.0)) > len(chosen(3.0))


def test_no_more_energies_are_chosen_than_there_are(choose):
    three = SCAN[100:103]
    assert set(choose(TWO, count=5, energy=three).energy) <= set(three)


def test_candidates_that_nothing_tells_apart_do_not_steer(choose):
    batch = choose({"a": [MAIN], "b": [MAIN]}, count=3)
    assert batch.gain < 1e-6
    assert len(batch.energy) >= 1
