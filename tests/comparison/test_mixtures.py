from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from xas_bluesky.comparison import Gap, make_hypotheses
from xas_bluesky.comparison.mixtures import ALIKE, _likelihood, _products, find_mixtures
from xas_bluesky.comparison.posterior import Belief
from xas_bluesky.comparison.tables import SCALE_SD
from xas_bluesky.errors import SpectrumError
from xas_bluesky.spectra import Absorption

from .conftest import SCAN

NOTHING = dict.fromkeys(("warp_sd", "strength_sd", "spread", "smooth_sd", "floor_sd"), 0.0)
EXACT = Gap(shift_sd=0.35, widths=(0.0,), reabsorptions=(0.0,), fine_sd=0.005, cell=0.2, blur_sd=0.05, **NOTHING)
"""No gap but the energies' zero and the resolution."""
SEEDS = 40


def mixed(laboratory, first, second, fraction):
    one, other = laboratory.sample(first), laboratory.sample(second)
    return lambda energy: fraction * one(energy) + (1 - fraction) * other(energy)


def hypotheses_of(laboratory, gap=None, error=1.0):
    """Lay out hypotheses, the predictions' own error made larger or smaller."""
    spectra, population = laboratory.prediction.spectra, laboratory.prediction.population
    return make_hypotheses(replace(spectra, factors=error * spectra.factors), population, gap or laboratory.gap)


def share_of(mixtures, first, second):
    """Fraction of the first, and its error, in the mixture of these two."""
    (found,) = (mixture for mixture in mixtures if {mixture.first, mixture.second} == {first, second})
    return found.fraction if found.first == first else 1 - found.fraction, found.fraction_sd


def deviations(hypotheses, noise):
    """Errors, in standard deviations, of fractions found in random mixtures of thiol and sulfone, each with its own error."""
    spectra, gap, found = hypotheses.tables.spectra, hypotheses.gap, []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        fraction, shift = rng.uniform(0.1, 0.9), gap.shift + rng.normal(0, 0.7 * gap.shift_sd)
        drawn = rng.standard_normal(spectra.factors.shape[:2])
        true = spectra.mean + (drawn[..., None] * spectra.factors).sum(axis=1)
        mu = np.interp(SCAN - shift, spectra.energy, fraction * true[0] + (1 - fraction) * true[2], left=0.0, right=1.0)
        mu = (1 + 0.1 * rng.standard_normal()) * mu + np.hypot(noise, gap.fine_sd) * rng.standard_normal(len(SCAN))
        mixtures = find_mixtures(Absorption(SCAN, mu, np.full(len(SCAN), noise**2)), hypotheses)
        assert {mixtures[0].first, mixtures[0].second} == {"thiol", "sulfone"}
        share, error = share_of(mixtures, "thiol", "sulfone")
        found.append((share - fraction) / error)
    return np.array(found)


@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_mixture_is_found_with_its_fraction(laboratory, hypotheses, measure, fraction, noise):
    found = find_mixtures(measure(mixed(laboratory, "thiol", "sulfone", fraction), noise=noise), hypotheses)
    assert {found[0].first, found[0].second} == {"thiol", "sulfone"}
    assert found[0].probability > 0.99
    assert found[0].fraction >= 0.5
    share, error = share_of(found, "thiol", "sulfone")
    assert share == pytest.approx(fraction, abs=1.5 * error)
    assert error < 0.2
    assert [mixture.probability for mixture in found] == sorted((m.probability for m in found), reverse=True)


def test_errors_are_those_of_the_noise(laboratory):
    found = deviations(hypotheses_of(laboratory, EXACT, error=0.002), noise=0.05)
    assert 0.5 < np.mean(np.abs(found) < 1) < 0.85
    assert np.mean(np.abs(found) < 2) > 0.85


def test_errors_are_not_below_those_of_the_theory(laboratory):
    found = deviations(hypotheses_of(laboratory, EXACT), noise=0.01)
    assert np.mean(np.abs(found) < 1) > 0.65
    assert np.mean(np.abs(found) < 2) > 0.9


@pytest.mark.parametrize("name", ["thiol", "sulfoxide", "sulfone"])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_pure_sample_is_no_mixture(laboratory, hypotheses, measure, name, noise):
    found = find_mixtures(measure(laboratory.sample(name), noise=noise), hypotheses)
    assert sum(mixture.probability for mixture in found) < 0.05


def test_none_of_these_is_no_mixture(laboratory, hypotheses, measure):
    found = find_mixtures(measure(laboratory.sample([(2470.0, 3.0), (2477.5, 3.0)])), hypotheses)
    assert sum(mixture.probability for mixture in found) < 0.05


def test_candidates_of_one_spectrum_leave_the_fraction_open(make_laboratory, measure):
    twins = make_laboratory({"left": [(2473.0, 3.0)], "right": [(2473.0, 3.0)]})
    (found,) = find_mixtures(measure(twins.sample("left")), hypotheses_of(twins))
    assert found.fraction == pytest.approx(0.5, abs=1e-3)
    assert found.fraction_sd == pytest.approx(1 / np.sqrt(12), abs=0.01)
    assert found.probability == pytest.approx(0.1, abs=0.01)  # as before anything was measured


def test_only_the_best_pairs_are_given(make_laboratory, measure):
    many = make_laboratory({f"line {n}": [(2470.0 + n, 3.0)] for n in range(9)})
    found = find_mixtures(measure(mixed(many, "line 1", "line 7", 0.6), noise=0.01), hypotheses_of(many), most=4)
    assert len(found) == 4
    assert (found[0].first, found[0].second) == ("line 1", "line 7")


def test_one_candidate_makes_no_mixture(make_laboratory, measure):
    alone = make_laboratory({"thiol": [(2472.5, 3.0)]})
    assert find_mixtures(measure(alone.sample("thiol")), hypotheses_of(alone)) == ()


def test_a_scan_without_an_edge_step_is_refused(laboratory, hypotheses, measure):
    with pytest.raises(SpectrumError, match="the edge step is not known"):
        find_mixtures(measure(laboratory.sample("thiol"), SCAN[SCAN < 2470.0]), hypotheses)


def test_the_likelihood_is_that_of_the_dense_gaussian(laboratory, hypotheses, measure):
    belief = Belief(hypotheses)
    belief.update(measure(mixed(laboratory, "thiol", "sulfone", 0.4), SCAN[::3], noise=0.02))
    cells = belief.cells
    products, log_prior = _products(belief, 0, 2, hypotheses.gap.shift)
    fraction = np.array([0.0, 0.3, 1.0])
    log_likelihood, slope, curvature = _likelihood(products, np.tile(fraction, (len(products), 1)))
    _, shapes, shifts = hypotheses.size
    assert np.exp(log_prior).sum() == pytest.approx(1.0, abs=0.02)

    place = int(log_prior.argmax())
    shape, near = divmod(place, len(products) // shapes)
    order = np.sort(np.argsort(np.abs(hypotheses.shifts - hypotheses.gap.shift), kind="stable")[: len(products) // shapes])
    chosen = shape * shifts + order[near] + np.array([0, 2]) * shapes * shifts
    (first, second), (of_first, of_second) = hypotheses.design(cells.energy, chosen)
    assert of_first[:, 0] == pytest.approx(SCALE_SD * first)
    variance = cells.variance
    for f, found, rise, bend in zip(fraction, log_likelihood[place], slope[place], curvature[place], strict=True):
        mean = f * first + (1 - f) * second
        common = np.column_stack([SCALE_SD * mean, of_first[:, -2:]])
        own = [of_first[:, 1:-2] * np.sqrt(f), of_second[:, 1:-2] * np.sqrt(1 - f)]
        features = np.column_stack([common, *own])
        dense = features @ features.T + np.diag(variance)
        noise = 0.5 * np.log(2 * np.pi * variance).sum()
        assert found - noise == pytest.approx(multivariate_normal.logpdf(cells.mu, mean, dense), rel=1e-6)
        apart = np.linalg.solve(dense, first - second)
        assert rise == pytest.approx((cells.mu - mean) @ apart, rel=1e-5, abs=1e-6)
        assert bend == pytest.approx((first - second) @ apart, rel=1e-5)
        assert bend > ALIKE


def test_a_pure_mixture_weighs_what_the_candidate_does(laboratory, hypotheses, measure):
    belief = Belief(hypotheses)
    belief.update(measure(laboratory.sample("thiol"), noise=0.02))
    products, log_prior = _products(belief, 0, 1, hypotheses.gap.shift)
    at_one = _likelihood(products, np.ones((len(products), 1)))[0][:, 0]
    alone = np.logaddexp.reduce(belief.log_weight[hypotheses.of_member(0)]) - np.log(0.9 / len(hypotheses.names))
    assert np.logaddexp.reduce(log_prior + hypotheses.gap.temper * at_one) == pytest.approx(alone, abs=0.05)
