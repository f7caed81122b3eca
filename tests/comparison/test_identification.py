import numpy as np
import pytest

from xas_bluesky.comparison import Posterior, identification, identify


def posterior(probability, none):
    return Posterior(np.array(probability), none, np.array([0.1, 0.2, 0.3]))


def test_ranking_and_groups_fall_in_probability_and_point_at_each_other():
    answer = identification(posterior([0.1, 0.35, 0.3], 0.25), ((0, 2), (1,)), ("x", "y", "z"))
    assert [(ranked.candidate, ranked.probability, ranked.group) for ranked in answer.ranking] == [
        ("y", 0.35, 1),
        ("z", 0.3, 0),
        ("x", 0.1, 0),
    ]
    assert [(group.members, group.probability) for group in answer.groups] == [
        (("x", "z"), pytest.approx(0.4)),
        (("y",), pytest.approx(0.35)),
    ]
    assert answer.none_of_these == 0.25
    assert [ranked.energy_shift for ranked in answer.ranking] == [0.2, 0.3, 0.1]


def test_a_measured_scan_is_identified(laboratory, hypotheses, measure):
    answer = identify(measure(laboratory.sample("sulfoxide"), noise=0.02), hypotheses)
    assert answer.ranking[0].candidate == "sulfoxide"
    assert answer.ranking[0].energy_shift == pytest.approx(laboratory.gap.shift, abs=0.3)
    assert answer.none_of_these + sum(group.probability for group in answer.groups) == pytest.approx(1.0)


def test_a_long_scan_is_identified_in_seconds(laboratory, hypotheses, measure):
    energy = np.concatenate([np.arange(2372.0, 2462.0, 5.0), np.arange(2462.0, 2502.0, 0.1), np.arange(2502.0, 3272.0, 1.0)])
    assert identify(measure(laboratory.sample("sulfone"), energy, noise=0.01), hypotheses).ranking[0].candidate == "sulfone"
