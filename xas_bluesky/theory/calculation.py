"""From a molecule to its core excitations: geometry, ground state, excitations."""

import importlib.metadata

import numpy as np
from pyscf import lib
from rdkit import Chem

from xas_bluesky.errors import CandidateError
from xas_bluesky.structures import embed
from xas_bluesky.theory import geometry
from xas_bluesky.theory.core_excitation import core_excitations
from xas_bluesky.theory.diffuse import EVEN_TEMPERED
from xas_bluesky.theory.ground_state import (
    BASIS,
    CONVERGENCE,
    FITTING_BASIS,
    FUNCTIONAL,
    GRID_LEVEL,
    check_size,
    solve_ground_state,
)
from xas_bluesky.theory.sticks import ComputedMolecule

HEAVIEST = 35
"""Bromine: the last element of which molecules were tried."""
TRIPLETS = frozenset({"O=O", "O=S", "S=S"})
"""Molecules whose ground state is open-shell though their SMILES does not say so."""


def compute(molecule: Chem.Mol, elements: tuple[str, ...]) -> ComputedMolecule:
    """Compute the 1s excitations of every atom of `elements` in a molecule with explicit hydrogens.

    A molecule without a conformer gets one, relaxed in GFN2-xTB; positions that were given are kept. Raises CandidateError for
    a molecule that is charged, open-shell, too large or without such an atom, CalculationError where a step fails.
    """
    check(molecule, elements)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], dtype=np.int64)
    check_size(numbers)
    lib.num_threads(1)
    if molecule.GetNumConformers():
        positions = molecule.GetConformer().GetPositions()
    else:
        positions = geometry.relax(embed(molecule, "geometry"))
    sites = core_excitations(solve_ground_state(numbers, positions), elements)
    return ComputedMolecule(Chem.MolToSmiles(Chem.RemoveHs(molecule)), numbers, positions, sites)


def check(molecule: Chem.Mol, elements: tuple[str, ...]) -> None:
    """Raise CandidateError for a molecule that the method does not cover."""
    symbols = [atom.GetSymbol() for atom in molecule.GetAtoms()]
    if not set(symbols) & set(elements):
        raise CandidateError(f"it holds no {' or '.join(elements)}; remove it, or ask for another edge")
    if charge := Chem.GetFormalCharge(molecule):
        raise CandidateError(f"its charge is {charge:+d}; only neutral molecules can be computed")
    radical = any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
    if radical or Chem.MolToSmiles(molecule) in TRIPLETS:
        raise CandidateError("it has unpaired electrons; only closed-shell molecules can be computed")
    if heavy := [atom.GetSymbol() for atom in molecule.GetAtoms() if atom.GetAtomicNum() > HEAVIEST]:
        raise CandidateError(f"it holds {heavy[0]}; elements up to bromine can be computed")


def provenance() -> dict[str, str]:
    """Return how `compute` computes: method and versions."""
    versions = {name: importlib.metadata.version(name) for name in ("pyscf", "tblite", "ase", "rdkit", "xas-bluesky")}
    return {
        "excitations": f"core–valence-separated TDA of {FUNCTIONAL}, {_basis()}, fitted in {FITTING_BASIS}, grid level "
        f"{GRID_LEVEL}, converged to {CONVERGENCE:g} hartree; on the absorber, even-tempered {_diffuse()}",
        "geometry": f"{geometry.METHOD}, from ETKDGv3 and MMFF94s (UFF where that has no parameters); kept where given",
        **versions,
    }


def _basis() -> str:
    by_name: dict[str, list[str]] = {}
    for element, name in BASIS.items():
        by_name.setdefault(name, []).append(element)
    return ", ".join(f"{name} ({' '.join(elements)})" for name, elements in by_name.items())


def _diffuse() -> str:
    return ", ".join(f"{count} {'spd'[momentum]} from {smallest:g}" for momentum, smallest, count in EVEN_TEMPERED)
