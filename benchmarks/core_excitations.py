"""Molecules per core-hour: this package's core excitations against PySCF's own Tamm–Dancoff code, one absorber each.

Both in one thread, in this run, from the same geometry. Ours: ground state, then all roots of one absorber, with diffuse
functions. PySCF: its own ground state (same functional, basis, grid and density fitting) and the lowest 30 roots, all other
occupied orbitals frozen.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy loads

import time

import numpy as np
from pyscf import dft, gto, lib, tdscf
from rdkit import Chem

from xas_bluesky.structures import embed
from xas_bluesky.theory import geometry
from xas_bluesky.theory.core_excitation import core_excitations
from xas_bluesky.theory.ground_state import BASIS, FITTING_BASIS, FUNCTIONAL, GRID_LEVEL, solve_ground_state

MOLECULES = {"acetamide": ("CC(N)=O", "O"), "dimethyl sulfone": ("CS(C)(=O)=O", "S"), "pyridine": ("c1ccncc1", "N")}
ROOTS = 30


def ours(numbers: np.ndarray, positions: np.ndarray, element: str) -> int:
    """Return the number of roots."""
    return len(core_excitations(solve_ground_state(numbers, positions), (element,))[0].energy)


def of_pyscf(numbers: np.ndarray, positions: np.ndarray, element: str) -> int:
    """Return the number of roots that converged."""
    mol = gto.M(atom=list(zip(numbers.tolist(), positions.tolist(), strict=True)), basis=BASIS, verbose=0)
    field = dft.RKS(mol, xc=FUNCTIONAL).density_fit(auxbasis=FITTING_BASIS)
    field.grids.level = GRID_LEVEL
    field.kernel()
    absorber = next(atom for atom in range(mol.natm) if mol.atom_pure_symbol(atom) == element)
    occupied = mol.nelectron // 2
    core = np.argmax(np.abs(field.mo_coeff[:, :occupied].T @ field.get_ovlp()[:, mol.aoslice_by_atom()[absorber, 2]]))
    excited = tdscf.rks.TDA(field)
    excited.nstates = ROOTS
    excited.frozen = [orbital for orbital in range(occupied) if orbital != core]
    excited.kernel()
    return int(np.sum(excited.converged))


def main() -> None:
    """Print seconds, molecules per core-hour and their ratio."""
    lib.num_threads(1)
    print("molecule            ours: s  roots  PySCF: s  roots  ratio")
    totals = np.zeros(2)
    for name, (smiles, element) in MOLECULES.items():
        molecule = embed(Chem.AddHs(Chem.MolFromSmiles(smiles)), name)
        numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
        positions = geometry.relax(molecule)
        seconds, roots = np.zeros(2), [0, 0]
        for place, run in enumerate((ours, of_pyscf)):
            start = time.process_time()
            roots[place] = run(numbers, positions, element)
            seconds[place] = time.process_time() - start
        totals += seconds
        ratio = seconds[1] / seconds[0]
        print(f"{name:18} {seconds[0]:8.1f} {roots[0]:6} {seconds[1]:9.1f} {roots[1]:6} {ratio:6.0f}")
    rates = 3600 * len(MOLECULES) / totals
    print(
        f"molecules per core-hour, one absorber each: {rates[0]:.0f} against {rates[1]:.0f}, {rates[0] / rates[1]:.0f} times"
    )


if __name__ == "__main__":
    main()
