from pathlib import Path

import numpy as np
import pytest
from pyscf import dft, gto, tdscf
from pyscf.data.nist import HARTREE2EV

from xas_bluesky.theory import diffuse, excitation_energies, ionization_energy, read_dataset
from xas_bluesky.theory.core_excitation import core_excitations
from xas_bluesky.theory.ground_state import BASIS, FITTING_BASIS, FUNCTIONAL, GRID_LEVEL, solve_ground_state

FORMALDEHYDE = ([6, 8, 1, 1], [[0, 0, 0], [0, 0, 1.208], [0.943, 0, -0.588], [-0.943, 0, -0.588]])
THIOFORMALDEHYDE = ([6, 16, 1, 1], [[0, 0, 0], [0, 0, 1.611], [0.925, 0, -0.54], [-0.925, 0, -0.54]])


def tda_of_pyscf(numbers: list[int], positions: list[list[float]], core: int, roots: int):
    """Excite one core orbital only, all other occupied orbitals frozen, in PySCF's own Tamm–Dancoff code."""
    mol = gto.M(atom=list(zip(numbers, positions, strict=True)), basis=BASIS, verbose=0)
    field = dft.RKS(mol, xc=FUNCTIONAL).density_fit(auxbasis=FITTING_BASIS)
    field.grids.level, field.conv_tol = GRID_LEVEL, 1e-9
    field.kernel()
    excited = tdscf.rks.TDA(field)
    excited.nstates = roots
    excited.frozen = [orbital for orbital in range(mol.nelectron // 2) if orbital != core]
    excited.kernel()
    return np.array(excited.e) * HARTREE2EV, excited.oscillator_strength()


@pytest.mark.parametrize(
    ("molecule", "element", "core"),
    [(FORMALDEHYDE, "O", 0), (FORMALDEHYDE, "C", 1), (THIOFORMALDEHYDE, "S", 0)],
)
def test_agrees_with_pyscf(molecule, element, core, monkeypatch):
    monkeypatch.setattr(diffuse, "LEAST_OVERLAP", np.inf)  # PySCF's own code knows no functions added after the ground state
    numbers, positions = molecule
    ground = solve_ground_state(np.array(numbers), np.array(positions, dtype=float), convergence=1e-8)
    (site,) = core_excitations(ground, (element,))
    energies, strengths = tda_of_pyscf(numbers, positions, core, 6)
    np.testing.assert_allclose(site.energy[:6], energies, atol=0.005)
    np.testing.assert_allclose(site.strength[:6], strengths, atol=2e-4, rtol=0.02)


RECORDS = read_dataset(Path(__file__).with_name("recipe_records.parquet"))


def merged(energy: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Sum what lies within 0.05 eV: among roots that close, the strength is shared out by chance."""
    return np.bincount(np.cumsum(np.diff(energy, prepend=energy[0]) > 0.05), strength)


@pytest.mark.parametrize("name", RECORDS.name)
def test_agrees_with_the_script_that_it_grew_from(name):
    """Compare 25 absorbers' states below the ionization energy with those that an independent program computed."""
    record = RECORDS.select(RECORDS.name == name)
    sites = core_excitations(solve_ground_state(record.numbers, record.positions), ("C", "N", "O", "F"))
    assert [site.atom for site in sites] == record.site_atom.tolist()
    for place, site in enumerate(sites):
        sticks = record.sticks_of(np.array([place]))
        bound = np.flatnonzero(excitation_energies(site) < ionization_energy(site))
        assert site.ionization == pytest.approx(record.site_ionization[place], abs=0.02)
        assert site.relaxation == pytest.approx(record.site_relaxation[place], abs=0.02)
        np.testing.assert_allclose(site.energy[bound], record.energy[sticks][bound], atol=0.02)
        known = record.energy[sticks][bound]
        ours, theirs = merged(known, site.strength[bound]), merged(known, record.strength[sticks][bound])
        np.testing.assert_allclose(ours, theirs, rtol=0.02, atol=2e-5)
