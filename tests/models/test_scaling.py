import numpy as np
import pytest

from xas_bluesky.models import Scaling
from xas_bluesky.models.low_rank import low_rank

ENERGY = np.round(np.arange(-5.0, 5.01, 0.1), 1)


def bump(at: float) -> np.ndarray:
    return np.exp(-0.5 * (ENERGY - at) ** 2)


def test_what_is_scaled_comes_back():
    random = np.random.default_rng(0)
    spectra, ionization = random.normal(size=(20, len(ENERGY))), 290 + random.normal(size=20)
    scaling = Scaling.fit(ENERGY, spectra, ionization)
    scaled, zero = scaling.scaled(spectra, ionization)
    assert np.abs(scaled).mean() == pytest.approx(1, abs=0.1)
    outputs = np.concatenate([scaled, zero[:, None], np.zeros((20, 1))], axis=1)[None]
    sites = scaling.sites(outputs)
    assert np.allclose(sites.spectrum, spectra)
    assert np.allclose(sites.ionization, ionization)
    assert np.allclose(sites.disagreement, 0)


def test_one_ionization_energy_for_all_is_no_division_by_zero():
    scaling = Scaling.fit(ENERGY, np.random.default_rng(0).normal(size=(5, len(ENERGY))), np.full(5, 8979.0))
    assert np.allclose(scaling.scaled(np.zeros((2, len(ENERGY))), np.full(2, 8979.0))[1], 0)


def test_networks_that_differ_in_the_ionization_energy_disagree_about_where_the_peak_is():
    scaling = Scaling(ENERGY, np.zeros(len(ENERGY)), 1.0, 290.0, 1.0)
    outputs = np.array([[[*bump(0), shift, 0.0]] for shift in (-0.2, 0.2)])
    sites = scaling.sites(outputs)
    assert np.allclose(sites.spectrum[0], bump(0))
    variance = (sites.disagreement[0] ** 2).sum(axis=0)
    expected = np.var([bump(-0.2), bump(0.2)], axis=0, ddof=1)
    assert np.allclose(variance, expected, atol=1e-3)
    assert variance[np.argmin(np.abs(ENERGY))] < variance[np.argmin(np.abs(ENERGY - 1))]


def test_spectra_are_moved_up_by_positive_shifts_and_placed_at_their_ionization_energy():
    scaling = Scaling(ENERGY, np.zeros(len(ENERGY)), 1.0, 290.0, 1.0)
    moved = scaling.moved(np.array([bump(0), bump(1)]), np.array([0.5, -0.3]))
    assert np.allclose(moved, [bump(0.5), bump(0.7)], atol=2e-3)
    grid = np.arange(280.0, 300.0, 0.1)
    placed = scaling.placed(np.array([bump(0), bump(1)])[:, None], np.array([288.0, 291.5]), grid)
    assert placed.shape == (2, 1, len(grid))
    assert np.allclose(grid[placed[:, 0].argmax(axis=-1)], [288.0, 292.5], atol=0.11)
    assert np.allclose(placed[:, 0, [0, -1]], [[bump(0)[0], bump(0)[-1]], [bump(1)[0], bump(1)[-1]]])


def test_low_rank_and_rest_hold_the_whole_variance():
    deviations = np.random.default_rng(0).normal(size=(30, 12))
    factors, rest = low_rank(deviations, 4)
    assert factors.shape == (4, 12)
    assert np.allclose((factors**2).sum(axis=0) + rest**2, (deviations**2).sum(axis=0))
    whole, nothing = low_rank(deviations[:2], 4)
    assert np.allclose(whole.T @ whole, deviations[:2].T @ deviations[:2])
    assert np.allclose(nothing, 0)
