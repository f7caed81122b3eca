import numpy as np
import pytest

from xas_bluesky.comparison import Grouping, identify, make_hypotheses

from .conftest import SCAN


def indistinguishable(hypotheses, energy, noise=0.0):
    return Grouping(hypotheses, energy).groups(range(len(hypotheses.names)), noise)


@pytest.fixture
def hypotheses_of(make_laboratory):
    def made(molecules):
        laboratory = make_laboratory(molecules)
        prediction = laboratory.prediction
        return laboratory, make_hypotheses(prediction.spectra, prediction.population, laboratory.gap)

    return made


THIOL, SULFOXIDE, SULFONE = [(2472.5, 3.0)], [(2476.0, 4.0)], [(2480.0, 6.0)]


def test_identical_candidates_are_one_group_and_distant_ones_are_not(hypotheses_of):
    _, hypotheses = hypotheses_of({"a": THIOL, "b": SULFONE, "c": THIOL, "d": SULFOXIDE, "e": SULFONE})
    assert indistinguishable(hypotheses, SCAN) == ((0, 2), (1, 4), (3,))


def test_one_candidate_is_a_group(hypotheses_of):
    _, hypotheses = hypotheses_of({"a": THIOL})
    assert indistinguishable(hypotheses, SCAN) == ((0,),)


def test_a_scan_that_misses_the_difference_cannot_tell_them_apart(hypotheses_of):
    _, hypotheses = hypotheses_of({"a": THIOL, "b": SULFONE})
    assert indistinguishable(hypotheses, np.arange(2440.0, 2460.0, 2.0)) == ((0, 1),)


def test_identical_candidates_share_their_probability_and_none_is_picked_by_luck(hypotheses_of, measure):
    laboratory, hypotheses = hypotheses_of({"a": THIOL, "b": THIOL, "c": SULFONE})
    answer = identify(measure(laboratory.sample("a"), noise=0.02), hypotheses)
    probability = {ranked.candidate: ranked.probability for ranked in answer.ranking}
    assert probability["a"] == pytest.approx(probability["b"])
    assert answer.groups[0].members == ("a", "b")
    assert answer.groups[0].probability == pytest.approx(probability["a"] + probability["b"])


def test_all_identical_candidates_are_one_group(hypotheses_of):
    _, hypotheses = hypotheses_of({"a": THIOL, "b": THIOL, "c": THIOL})
    assert indistinguishable(hypotheses, SCAN) == ((0, 1, 2),)


def test_every_two_of_a_group_cannot_be_told_apart_however_long_the_chain(hypotheses_of):
    chain = {f"{at:.1f}": [(at, 3.0)] for at in np.arange(2472.0, 2478.0, 0.5)}
    _, hypotheses = hypotheses_of(chain)
    groups = indistinguishable(hypotheses, SCAN)
    assert 1 < len(groups) < len(chain)
    for group in groups:
        ends = {name: chain[name] for name in (hypotheses.names[group[0]], hypotheses.names[group[-1]])}
        if len(ends) == 2:
            assert indistinguishable(hypotheses_of(ends)[1], SCAN) == ((0, 1),)
