import numpy as np
import pytest

from xas_bluesky.beamline_sim import FragileSample, broadened, mu_of_energy
from xas_bluesky.edges import find_edge
from xas_bluesky.errors import SettingsError, SpectrumError
from xas_bluesky.spectra import Spectrum

EDGE = find_edge("S K")
ENERGY = EDGE.energy + np.concatenate([np.arange(-60, -10, 1.0), np.arange(-10, 20, 0.2), np.arange(20, 90, 1.0)])


def shape(energy):
    x = energy - EDGE.energy
    return 0.5 + np.arctan(x / 0.3) / np.pi + 2.0 * np.exp(-0.5 * ((x - 2.0) / 0.8) ** 2)


def raw_spectrum():
    raw = 7.0 + 3.3 * shape(ENERGY) - 2e-3 * (ENERGY - EDGE.energy)
    return Spectrum(ENERGY, {"mu": raw})


def test_raw_offset_slope_and_scale_are_taken_out():
    mu = mu_of_energy(raw_spectrum(), EDGE)
    at = EDGE.energy + np.array([-40.0, -20.0, 2.0, 40.0, 60.0])
    assert np.allclose(mu(at), shape(at), atol=0.04)


def test_outside_the_measured_range():
    mu = mu_of_energy(raw_spectrum(), EDGE)
    below, first, last, above = mu(np.array([ENERGY[0] - 500, ENERGY[0], ENERGY[-1], ENERGY[-1] + 500]))
    assert below == 0.0
    assert first == pytest.approx(0.0, abs=0.03)
    assert above == last == pytest.approx(1.0, abs=0.03)


def test_raw_detector_columns_and_mu_give_the_same_sample():
    itrans = 1e8 * np.exp(-(0.3 + shape(ENERGY)))
    columns = Spectrum(ENERGY, {"i0": np.full(len(ENERGY), 1e8), "itrans": itrans})
    expected = mu_of_energy(Spectrum(ENERGY, {"mu": shape(ENERGY)}), EDGE)(ENERGY)
    assert np.allclose(mu_of_energy(columns, EDGE)(ENERGY), expected, atol=1e-6)


def test_a_spectrum_of_another_edge_is_refused():
    with pytest.raises(SpectrumError, match=r"without the Cu K edge"):
        mu_of_energy(raw_spectrum(), find_edge("Cu K"))


def test_broadening_keeps_the_area_and_adds_widths_in_quadrature():
    grid = np.linspace(-30, 30, 3001)
    narrow, wide = 1.2, 2.0  # FWHM
    sigma = narrow / 2.354820045
    mu = broadened(lambda energy: np.exp(-0.5 * (energy / sigma) ** 2), wide)
    values = mu(grid)
    assert np.trapezoid(values, grid) == pytest.approx(sigma * np.sqrt(2 * np.pi), rel=1e-3)
    above_half = grid[values > values.max() / 2]
    assert above_half[-1] - above_half[0] == pytest.approx(np.hypot(narrow, wide), abs=0.05)


def test_no_resolution_leaves_the_function_alone():
    assert broadened(shape, 0.0) is shape


@pytest.mark.parametrize("dose", [0.0, -1.0, float("inf"), float("nan")])
def test_a_fragile_sample_needs_a_dose(dose):
    with pytest.raises(SettingsError, match="give a finite, positive number of photons"):
        FragileSample(shape, shape, dose)
