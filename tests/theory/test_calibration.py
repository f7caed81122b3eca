import numpy as np
import pytest

from xas_bluesky.theory.calibration import CONSTANTS, ELEMENTS, excitation_energies, ionization_energy
from xas_bluesky.theory.sticks import Sticks


@pytest.mark.parametrize("element", ELEMENTS)
def test_one_constant_per_quantity(element):
    site = Sticks(0, element, np.array([100.0, 101.0]), np.array([0.1, 0.2]), ionization=120.0, relaxation=-15.0)
    np.testing.assert_allclose(excitation_energies(site), np.array([95.0, 96.0]) + CONSTANTS[element].excitation)
    assert ionization_energy(site) == pytest.approx(105.0 + CONSTANTS[element].ionization)
