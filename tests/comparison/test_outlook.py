import numpy as np
import pytest

from xas_bluesky.comparison import Belief
from xas_bluesky.comparison.outlook import Outlook

from .conftest import EDGE_ENERGY


@pytest.fixture
def outlook(hypotheses):
    """An outlook on hypotheses of which the screen puts each half a nat behind the one before."""
    found = Outlook(hypotheses)
    members, shapes, shifts = len(hypotheses.names), *hypotheses.size[1:]
    found.see((-0.5 * np.arange(members * shapes * shifts)).astype(np.float32))
    return found


def test_those_within_reach_come_the_heaviest_first(outlook):
    assert outlook.nearest(1000).tolist() == list(range(36))
    assert outlook.nearest(5).tolist() == [0, 1, 2, 3, 4]


def test_a_closer_look_puts_its_hypothesis_right_and_the_others_as_it_usually_is(outlook):
    outlook.learn(np.array([1, 4, 2]), np.array([-10.5, -12.0, -13.0]))
    log_weight = outlook.log_weight()
    assert log_weight[[1, 2, 4]].tolist() == [-10.5, -13.0, -12.0]
    assert log_weight[[0, 6]].tolist() == [-10.0, -13.0]
    assert outlook.nearest(3).tolist() == [0, 1, 3]


def test_what_was_looked_at_is_trusted_more_until_doubted(outlook):
    chosen = np.arange(60)
    outlook.learn(chosen, -0.5 * chosen)
    assert outlook.nearest(1000).tolist() == list(range(18))
    outlook.doubt()
    assert outlook.nearest(1000).tolist() == list(range(36))


def test_totals_are_sums_over_each_candidates_hypotheses(outlook, hypotheses):
    outlook.learn(np.array([3, 5]), np.array([-2.5, -1.0]))
    weight = np.exp(outlook.log_weight()).reshape(len(hypotheses.names), -1)
    shifts = np.tile(hypotheses.shifts, hypotheses.size[1])
    total, moment = outlook.totals(0.0)
    assert total == pytest.approx(weight.sum(axis=1), rel=1e-5)
    assert moment == pytest.approx(weight @ shifts, rel=1e-5, abs=1e-30)


def test_a_normalization_that_moves_leaves_what_a_whole_scan_says(laboratory, hypotheses, measure):
    whole = measure(laboratory.sample("thiol"), noise=0.05)
    early = np.append(EDGE_ENERGY + np.array([-30.0, -20.0, -4.0, 0.0, 6.0, 30.0]), 2474.0)
    belief = Belief(hypotheses)
    belief.update(measure(lambda energy: 0.9 * laboratory.sample("thiol")(energy), early, noise=0.05))
    before = belief.baseline
    posterior, expected = belief.update(whole), Belief(hypotheses).update(whole)
    assert belief.baseline != before
    assert posterior.probability == pytest.approx(expected.probability, abs=1e-6)
    assert posterior.none == pytest.approx(expected.none, abs=1e-6)
