import numpy as np

from xas_bluesky.training.metrics import coverage, peak_within, relative_l1

COMPUTED = np.array([[0.0, 4.0, 0.0], [1.0, 1.0, 2.0]])
PREDICTED = np.array([[1.0, 3.0, 0.0], [3.0, 1.0, 1.0]])


def test_relative_l1():
    assert relative_l1(PREDICTED, COMPUTED) == (1 + 1 + 2 + 1) / 8
    assert relative_l1(COMPUTED, COMPUTED) == 0


def test_peak_within():
    energy = np.array([2470.0, 2470.5, 2471.0])
    assert peak_within(PREDICTED, COMPUTED, energy, 0.5) == 0.5
    assert peak_within(PREDICTED, COMPUTED, energy, 1.0) == 1.0


def test_the_tolerance_includes_its_own_value():
    energy = np.array([2470.1, 2470.4, 2470.7])  # 0.3 apart, but for the last bit
    assert peak_within(np.eye(3)[1:], np.eye(3)[:2], energy, 0.3) == 1.0


def test_coverage():
    std = np.array([[1.0, 0.5, 0.1], [1.0, 0.1, 1.0]])
    assert coverage(PREDICTED, std, COMPUTED, 1.0) == 4 / 6
    assert coverage(PREDICTED, std, COMPUTED, 2.0) == 6 / 6
