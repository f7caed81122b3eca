from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from xas_bluesky.comparison import Belief, make_hypotheses, provisional
from xas_bluesky.comparison.hypotheses import NONE_PRIOR
from xas_bluesky.comparison.provisional import in_cells
from xas_bluesky.comparison.regression import regress
from xas_bluesky.errors import SpectrumError
from xas_bluesky.spectra import Absorption

from .conftest import EDGE_ENERGY, SCAN


@pytest.fixture
def alike(make_laboratory):
    """Two molecules that only a shoulder tells apart."""
    return make_laboratory({"plain": [(2473.0, 3.0)], "shouldered": [(2473.0, 3.0), (2477.5, 0.6)]})


@pytest.fixture
def alike_hypotheses(alike):
    return make_hypotheses(alike.prediction.spectra, alike.prediction.population, alike.gap)


def found(absorption, hypotheses):
    posterior = Belief(hypotheses).update(absorption)
    return np.append(posterior.probability, posterior.none)


@pytest.mark.parametrize("name", ["thiol", "sulfoxide", "sulfone"])
def test_without_noise_the_right_candidate_leads(laboratory, hypotheses, measure, name):
    probability = found(measure(laboratory.sample(name)), hypotheses)
    assert hypotheses.names[probability.argmax()] == name
    assert probability.max() > 0.95


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_probabilities_and_none_sum_to_one(laboratory, hypotheses, measure, noise):
    posterior = Belief(hypotheses).update(measure(laboratory.sample("thiol"), noise=noise))
    assert posterior.probability.sum() + posterior.none == pytest.approx(1.0)
    assert (posterior.probability >= 0).all()


def test_with_doubt_all_stays_as_probable_as_before(laboratory, hypotheses, measure):
    measured, prediction = measure(laboratory.sample("sulfone")), laboratory.prediction
    doubtful = make_hypotheses(prediction.spectra, prediction.population, replace(laboratory.gap, doubt=0.2))
    before = np.append(np.full(3, (1 - NONE_PRIOR) / 3), NONE_PRIOR)
    assert found(measured, doubtful) == pytest.approx(0.8 * found(measured, hypotheses) + 0.2 * before, abs=1e-9)


def test_the_shift_found_is_that_of_the_sample(laboratory, hypotheses, measure):
    posterior = Belief(hypotheses).update(measure(laboratory.sample("sulfone")))
    assert posterior.shift[2] == pytest.approx(laboratory.gap.shift, abs=0.3)


def test_a_spectrum_like_no_candidate_is_none_of_these(laboratory, hypotheses, measure):
    assert found(measure(laboratory.sample([(2470.0, 3.0), (2477.5, 3.0)])), hypotheses)[-1] > 0.9


def test_repeating_a_scan_never_sharpens_beyond_the_gap(alike, alike_hypotheses, measure):
    sparse = np.append(EDGE_ENERGY + np.array([-30.0, -20.0, -4.0, 0.0, 2.0, 16.0, 30.0, 45.0]), 2476.8)
    once = found(measure(alike.sample("plain"), sparse), alike_hypotheses)
    repeated = measure(alike.sample("plain"), np.repeat(sparse, 1000), noise=0.01)
    assert 0.05 < once[1] < 0.45, "too easy or too hard to show anything"
    assert found(repeated, alike_hypotheses) == pytest.approx(once, abs=0.03)


def test_repeating_one_point_never_decides(alike, alike_hypotheses, measure):
    sparse = EDGE_ENERGY + np.array([-30.0, -20.0, -4.0, 2.0, 16.0, 30.0, 45.0])
    again = np.append(sparse, np.full(5000, 2475.6))
    once = found(measure(alike.sample("plain"), np.append(sparse, 2475.6)), alike_hypotheses)
    assert found(measure(alike.sample("plain"), again, noise=0.002), alike_hypotheses) == pytest.approx(once, abs=0.03)


def test_measuring_between_points_that_share_their_error_hardly_sharpens(alike, measure):
    prediction, coarse = (
        alike.prediction,
        np.concatenate([SCAN[SCAN < EDGE_ENERGY - 9][::2], SCAN[SCAN > EDGE_ENERGY - 9][::2]]),
    )

    def odds(energy, length):
        gap = replace(alike.gap, fine_sd=0.3, fine_length=length)
        probability = found(
            measure(alike.sample("plain"), energy), make_hypotheses(prediction.spectra, prediction.population, gap)
        )
        return np.log(probability[0] / probability[1])

    assert odds(SCAN, 0.0) > 1.3 * odds(coarse, 0.0) > 0
    assert odds(SCAN, 1.6) < 1.15 * odds(coarse, 1.6)


def test_points_that_come_one_by_one_say_what_they_say_together(alike, measure):
    gap = replace(alike.gap, fine_length=1.2)
    hypotheses = make_hypotheses(alike.prediction.spectra, alike.prediction.population, gap)
    scan = measure(alike.sample("plain"), np.random.default_rng(2).permutation(SCAN), noise=0.02)
    belief = Belief(hypotheses)
    for count in (60, 61, 75, 100, len(scan)):
        part = Absorption(scan.energy[:count], scan.mu[:count], scan.variance[:count])
        posterior = belief.update(part)
    assert np.append(posterior.probability, posterior.none) == pytest.approx(found(scan, hypotheses), abs=5e-3)


@pytest.mark.parametrize(("scale", "offset", "slope"), [(1e-3, 0, 0), (40.0, -7.0, 0), (2.5, 3.0, 0.02), (1.0, 0, -0.05)])
def test_scale_offset_and_slope_of_the_raw_data_do_not_matter(laboratory, hypotheses, measure, scale, offset, slope):
    plain = measure(laboratory.sample("sulfoxide"), noise=0.02)
    away = plain.energy - EDGE_ENERGY
    raw = Absorption(plain.energy, scale * (plain.mu + slope * away) + offset, plain.variance * scale**2)
    assert found(raw, hypotheses) == pytest.approx(found(plain, hypotheses), abs=1e-6)


def test_the_order_of_the_points_does_not_matter(alike, alike_hypotheses, measure):
    plain = measure(alike.sample("plain"), noise=0.02)
    order = np.random.default_rng(1).permutation(len(plain))
    shuffled = Absorption(plain.energy[order], plain.mu[order], plain.variance[order])
    assert found(shuffled, alike_hypotheses) == pytest.approx(found(plain, alike_hypotheses), abs=1e-6)


def test_points_far_above_the_predictions_tell_nothing_of_the_candidates(alike, alike_hypotheses, measure):
    energy = SCAN[::8]
    above = np.append(energy, np.arange(2530.0, 2800.0, 5.0))
    plain = found(measure(alike.sample("shouldered"), energy), alike_hypotheses)
    assert found(measure(alike.sample("shouldered"), above), alike_hypotheses) == pytest.approx(plain, abs=0.1)


def test_points_of_infinite_variance_are_ignored(laboratory, hypotheses, measure):
    plain = measure(laboratory.sample("thiol"))
    lost = np.linspace(2460.0, 2500.0, 7)
    spoilt = Absorption(
        np.append(plain.energy, lost), np.append(plain.mu, 50 * np.ones(7)), np.append(plain.variance, np.full(7, np.inf))
    )
    assert np.array_equal(found(spoilt, hypotheses), found(plain, hypotheses))


def test_the_evidence_is_that_of_the_dense_gaussian():
    rng = np.random.default_rng(3)
    features, residual = rng.standard_normal((4, 6, 9)), rng.standard_normal((4, 6))
    variance = rng.uniform(0.01, 0.2, 6)
    evidence, center, covariance = regress(residual, features, variance)
    for index in range(4):
        dense = features[index] @ features[index].T + np.diag(variance)
        assert evidence[index] == pytest.approx(multivariate_normal.logpdf(residual[index], np.zeros(6), dense))
        gain = features[index].T @ np.linalg.inv(dense)
        assert center[index] == pytest.approx(gain @ residual[index])
        assert covariance[index] == pytest.approx(np.eye(9) - gain @ features[index])


def test_cells_hold_the_weighted_mean_of_their_points():
    merged = in_cells(Absorption([10.1, 10.3, 10.9], [1.0, 2.0, 5.0], [0.1, 0.3, 0.2]), 0.5)
    assert merged.energy == pytest.approx([10.15, 10.9])
    assert merged.mu == pytest.approx([1.25, 5.0])
    assert merged.variance == pytest.approx([0.075, 0.2])


def test_a_provisional_normalization_takes_the_line_away_and_makes_the_step_one(laboratory, measure):
    plain = measure(laboratory.sample("thiol"))
    away = plain.energy - EDGE_ENERGY
    found = provisional(Absorption(plain.energy, 5 + 0.01 * away + 2 * plain.mu, plain.variance), EDGE_ENERGY)
    assert found.mu[away < -15] == pytest.approx(0.0, abs=0.02)
    assert found.mu[away > 20] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("kept", [SCAN > EDGE_ENERGY - 5, SCAN < EDGE_ENERGY + 5, SCAN > 1e9])
def test_too_narrow_a_range_is_refused(laboratory, measure, kept):
    with pytest.raises(SpectrumError, match="it takes energies below 2464 eV and above 2486 eV; measure a wider"):
        provisional(measure(laboratory.sample("thiol"), SCAN[kept]), EDGE_ENERGY)


def test_points_without_beam_do_not_widen_the_range(laboratory, measure):
    plain = measure(laboratory.sample("thiol"))
    dark = Absorption(plain.energy, plain.mu, np.where(plain.energy < EDGE_ENERGY, np.inf, plain.variance))
    with pytest.raises(SpectrumError, match="measure a wider range"):
        provisional(dark, EDGE_ENERGY)


def test_an_absorption_that_falls_at_the_edge_is_refused(laboratory, measure):
    plain = measure(laboratory.sample("thiol"))
    with pytest.raises(SpectrumError, match=r"does not rise at 2472 eV; is this the right edge\?"):
        provisional(Absorption(plain.energy, -plain.mu, plain.variance), EDGE_ENERGY)


def test_two_points_settle_no_edge_step():
    with pytest.raises(SpectrumError, match="the edge step is not known"):
        provisional(Absorption([2450.0, 2470.0], [0.0, 1.0], np.ones(2)), EDGE_ENERGY)
