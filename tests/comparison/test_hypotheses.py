import numpy as np
import pytest
from scipy.special import logsumexp

from xas_bluesky.comparison import NONE, make_hypotheses
from xas_bluesky.comparison.hypotheses import NONE_PRIOR

from .conftest import EDGE_ENERGY, SCAN


def of(hypotheses, member):
    return np.flatnonzero(hypotheses.member == member)


def test_candidates_share_the_prior_that_none_leaves(hypotheses):
    assert logsumexp(hypotheses.log_prior) == pytest.approx(0.0, abs=1e-9)
    none = hypotheses.candidate == NONE
    assert np.exp(logsumexp(hypotheses.log_prior[none])) == pytest.approx(NONE_PRIOR)
    for member in range(3):
        assert np.exp(logsumexp(hypotheses.log_prior[of(hypotheses, member)])) == pytest.approx((1 - NONE_PRIOR) / 3)


def test_a_kind_like_a_candidate_is_left_out_of_none(laboratory, hypotheses):
    kinds = laboratory.prediction.population.candidate
    kept = {kinds[member - 3] for member in np.unique(hypotheses.member) if member >= 3}
    assert kept == {"kind of sulfide"}


def test_none_is_kept_out_when_every_kind_is_like_a_candidate(make_laboratory):
    laboratory = make_laboratory({"a": [(2472.5, 3.0)], "b": [(2480.0, 6.0)], "c": [(2470.0, 3.0), (2477.5, 3.0)]})
    prediction = laboratory.prediction
    hypotheses = make_hypotheses(prediction.spectra, prediction.population, laboratory.gap, EDGE_ENERGY)
    assert NONE not in hypotheses.candidate


def test_the_shift_moves_the_spectrum_and_the_baseline_stays(hypotheses):
    mean, features = hypotheses.design(SCAN)
    low, high = of(hypotheses, 0)[[0, -1]]
    moved = hypotheses.shift[high] - hypotheses.shift[low]
    later, _ = hypotheses.design(SCAN + moved)
    assert moved > 1
    same_form = of(hypotheses, 0)[hypotheses.row[of(hypotheses, 0)] == hypotheses.row[low]]
    assert np.allclose(later[same_form[-1]], mean[same_form[0]])
    assert np.allclose(features[low, :, -2:], features[high, :, -2:])


def test_far_from_the_predictions_there_is_only_the_atomic_step(hypotheses):
    mean, _ = hypotheses.design(np.array([2300.0, 2420.0, 2530.0, 3000.0]))
    assert np.allclose(mean[:, :2], 0.0, atol=1e-3)
    assert np.allclose(mean[:, 2:], 1.0, atol=1e-3)


def test_chosen_hypotheses_are_those_of_all(hypotheses):
    chosen = np.array([5, 0, 17])
    mean, features = hypotheses.design(SCAN)
    some_mean, some_features = hypotheses.design(SCAN, chosen)
    assert np.array_equal(some_mean, mean[chosen])
    assert np.array_equal(some_features, features[chosen])


def test_the_predictive_covariance_allows_for_shift_and_gap(hypotheses):
    means, covariances = hypotheses.predictive(SCAN, np.arange(3))
    assert means.shape == (3, len(SCAN))
    sd = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    assert (sd >= hypotheses.gap.fine_sd).all()
    peak = means[2].argmax()
    assert sd[2, peak] > sd[2, SCAN < 2465].max()
    assert (np.linalg.eigvalsh(covariances) > 0).all()
