from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp

from xas_bluesky.comparison import make_hypotheses
from xas_bluesky.comparison.hypotheses import NONE_PRIOR

from .conftest import SCAN


def test_candidates_share_the_prior_that_none_leaves(hypotheses):
    prior = hypotheses.log_prior
    assert logsumexp(prior) == pytest.approx(0.0, abs=1e-9)
    member = hypotheses.member(np.arange(len(prior)))
    assert np.exp(logsumexp(prior[member >= 3])) == pytest.approx(NONE_PRIOR)
    for one in range(3):
        assert np.exp(logsumexp(prior[hypotheses.of_member(one)])) == pytest.approx((1 - NONE_PRIOR) / 3)


def test_a_gap_can_favour_none(laboratory, hypotheses):
    prediction, gap = laboratory.prediction, replace(laboratory.gap, favour_none=1.5)
    favoured = make_hypotheses(prediction.spectra, prediction.population, gap)
    is_kind = hypotheses.member(np.arange(len(hypotheses.log_prior))) >= 3
    assert logsumexp(favoured.log_prior[is_kind]) == pytest.approx(np.log(NONE_PRIOR) + 1.5)
    assert np.array_equal(favoured.log_prior[~is_kind], hypotheses.log_prior[~is_kind])


def test_a_kind_like_a_candidate_is_left_out_of_none(laboratory, hypotheses):
    kinds = laboratory.prediction.population.candidate
    kept = {kinds[member - 3] for member in np.unique(hypotheses.member(hypotheses.possible)) if member >= 3}
    assert kept == {"kind of sulfide"}


def test_none_is_kept_out_when_every_kind_is_like_a_candidate(make_laboratory):
    laboratory = make_laboratory({"a": [(2472.5, 3.0)], "b": [(2480.0, 6.0)], "c": [(2470.0, 3.0), (2477.5, 3.0)]})
    prediction = laboratory.prediction
    hypotheses = make_hypotheses(prediction.spectra, prediction.population, laboratory.gap)
    assert hypotheses.member(hypotheses.possible).max() == 2


def test_the_shift_moves_the_spectrum_and_the_baseline_stays(hypotheses):
    _, _, shifts = hypotheses.size
    low, high = hypotheses.of_member(0)[[0, shifts - 1]]
    moved = hypotheses.shifts[-1] - hypotheses.shifts[0]
    mean, features = hypotheses.design(SCAN, np.array([low, high]))
    later, _ = hypotheses.design(SCAN + moved, np.array([high]))
    assert moved > 1
    assert np.allclose(later[0], mean[0])
    assert np.allclose(features[0, :, -2:], features[1, :, -2:])


def test_far_from_the_predictions_there_is_only_the_atomic_step(hypotheses):
    mean, _ = hypotheses.design(np.array([2300.0, 2420.0, 2530.0, 3000.0]), hypotheses.possible)
    assert np.allclose(mean[:, :2], 0.0, atol=1e-3)
    assert np.allclose(mean[:, 2:], 1.0, atol=5e-3)


def test_hypotheses_are_the_same_alone_and_among_others(hypotheses):
    mean, features = hypotheses.design(SCAN, hypotheses.possible)
    some_mean, some_features = hypotheses.design(SCAN, hypotheses.possible[[5, 0, 17]])
    assert np.array_equal(some_mean, mean[[5, 0, 17]])
    assert np.array_equal(some_features, features[[5, 0, 17]])


def test_the_predictive_covariance_allows_for_shift_and_gap(hypotheses):
    for member in range(3):
        mean, covariance = hypotheses.predictive(SCAN, member)
        sd = np.sqrt(np.diagonal(covariance))
        assert (sd >= hypotheses.gap.fine_sd).all()
        assert sd[mean.argmax()] > sd[SCAN < 2465].max()
        assert (np.linalg.eigvalsh(covariance) > 0).all()


def test_the_fine_error_grows_with_what_predictions_are_unsure_of(laboratory):
    spectra = laboratory.prediction.spectra
    gap = replace(laboratory.gap, fine_sd=0.03, fine_share=2.0)
    found = make_hypotheses(spectra, laboratory.prediction.population, gap).fine_variance(spectra.energy + gap.shift)
    assert found == pytest.approx(0.03**2 + 4 * (spectra.std**2).mean(axis=0), rel=0.05)


def test_cells_that_share_their_fine_error_say_no_more_than_one(laboratory):
    gap = replace(laboratory.gap, fine_length=1.0)
    hypotheses = make_hypotheses(laboratory.prediction.spectra, laboratory.prediction.population, gap)
    crowded = hypotheses.fine_error(2475.0 + 1e-7 * np.arange(5))
    assert 1 / (1 / crowded).sum() == pytest.approx(gap.fine_sd**2)
    assert hypotheses.fine_error(np.array([2470.0, 2471.0, 2473.0])) == pytest.approx(gap.fine_sd**2)


def test_where_the_structure_lies_follows_from_the_predictions(laboratory, hypotheses):
    structure = hypotheses.structure
    assert 2466 < structure.low < 2472.5 + laboratory.gap.shift < 2482 < structure.high < 2500
