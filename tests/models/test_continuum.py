import numpy as np
import pytest

from xas_bluesky.errors import EdgeError
from xas_bluesky.models.continuum import S_1S_IONIZATION, faded, ionization_energy, kind_of, with_continuum

RELATIVE = np.linspace(-30, 30, 601)


def test_far_above_only_the_atomic_jump_is_left_and_below_nothing_is_changed():
    sticks = np.random.default_rng(0).uniform(0, 8, size=(3, len(RELATIVE)))
    whole = with_continuum(faded(sticks, RELATIVE), RELATIVE)
    assert np.allclose(whole[:, RELATIVE > 8], 1.0)
    assert np.allclose(whole[:, RELATIVE < -8], sticks[:, RELATIVE < -8])


def test_without_sticks_it_is_a_step_that_rises_at_the_ionization_energy():
    step = with_continuum(np.zeros_like(RELATIVE), RELATIVE)
    assert (np.diff(step) >= 0).all()
    assert np.interp(0.0, RELATIVE, step) == pytest.approx(0.5)
    assert np.allclose(step + faded(np.ones_like(RELATIVE), RELATIVE), 1)


def test_a_spectrum_at_the_height_of_the_jump_stays_level():
    assert np.allclose(with_continuum(faded(np.ones_like(RELATIVE), RELATIVE), RELATIVE), 1)


@pytest.mark.parametrize(
    ("environment", "oxygens"),
    [
        ("S(-C)(-H)", 0),
        ("S(-C)(-S)", 0),
        ("S(:C)(:C)", 0),
        ("S(-C)(-C)(=O)", 1),
        ("S(-C)(-O)", 1),
        ("S(-C)(-N)(=O)(=O)", 2),
        ("S(-C)(-O)(=O)(=O)", 3),
        ("S(-O)(-O)(=O)(=O)", 3),
        ("S(-C)(-Co)(-Mo)", 0),
    ],
)
def test_the_ionization_energy_rises_with_the_oxygens_on_the_sulfur(environment: str, oxygens: int):
    assert ionization_energy(environment, "S K") == S_1S_IONIZATION[oxygens]
    assert list(S_1S_IONIZATION) == sorted(set(S_1S_IONIZATION))


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ("S(-C)(-H)", "S"),
        ("S(:C)(:C)", "S"),
        ("S(=C)", "S(=C)"),
        ("S(-C)(-C)(=O)", "S(=O)"),
        ("S(-C)(-N)(=O)(=O)", "S(=O)(=O)"),
        ("S(-C)(-O)(=O)(=O)", "S(-O)(=O)(=O)"),
    ],
)
def test_a_kind_has_the_ionization_energy_of_its_environments(environment: str, kind: str):
    assert kind_of(environment) == kind
    assert kind_of(kind) == kind
    assert ionization_energy(kind, "S K") == ionization_energy(environment, "S K")


def test_other_edges_are_refused():
    with pytest.raises(EdgeError, match=r"edge 'Cu K': no ionization energies are known; only 'S K' is covered"):
        ionization_energy("Cu(-O)", "Cu K")
