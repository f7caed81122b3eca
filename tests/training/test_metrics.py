import numpy as np
import pytest

from xas_bluesky.training.metrics import coverage, peak_within, rank_correlation, ratio_interval, relative_l1

COMPUTED = np.array([[0.0, 4.0, 0.0], [1.0, 1.0, 2.0]])
PREDICTED = np.array([[1.0, 3.0, 0.0], [3.0, 1.0, 1.0]])


def test_relative_l1():
    assert relative_l1(PREDICTED, COMPUTED) == (1 + 1 + 2 + 1) / 8
    assert relative_l1(COMPUTED, COMPUTED) == 0


def test_peak_within():
    computed = np.array([2470.5, 2471.0])
    predicted = np.array([2470.0, 2470.0])
    assert peak_within(predicted, computed, 0.5) == 0.5
    assert peak_within(predicted, computed, 1.0) == 1.0


def test_the_tolerance_includes_its_own_value():
    energy = np.array([2470.1, 2470.4, 2470.7])  # 0.3 apart, but for the last bit
    assert peak_within(energy[1:], energy[:2], 0.3) == 1.0


def test_rank_correlation_is_of_order_alone():
    assert rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0])) == 1
    assert rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])) == -1


def test_the_interval_of_a_ratio_is_of_pairs():
    random = np.random.default_rng(0)
    others = np.exp(random.normal(size=400))
    ratio, low, high = ratio_interval(0.8 * others, others)
    assert (ratio, low, high) == pytest.approx((0.8, 0.8, 0.8))
    ratio, low, high = ratio_interval(0.8 * others * np.exp(0.3 * random.normal(size=400)), others)
    assert low < ratio < high
    assert high - low < 0.2


def test_coverage():
    std = np.array([[1.0, 0.5, 0.1], [1.0, 0.1, 1.0]])
    assert coverage(PREDICTED, std, COMPUTED, 1.0) == 4 / 6
    assert coverage(PREDICTED, std, COMPUTED, 2.0) == 6 / 6
