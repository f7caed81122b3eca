"""The localized 1s orbitals of a molecule's absorbers, and how the other electrons relax when one of theirs is gone."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from xas_bluesky.spectra import Array
from xas_bluesky.theory.ground_state import GroundState


@dataclass(frozen=True, slots=True)
class CoreOrbitals:
    """Hold the 1s orbitals of k absorbers.

    `atoms`: their indices; `orbitals` (n, k); `energies` (k,) hartree; `fitted` (k, f): the fit of each one's density.
    """

    atoms: tuple[int, ...]
    orbitals: Array
    energies: Array
    fitted: Array


def core_orbitals(ground: GroundState, elements: tuple[str, ...]) -> CoreOrbitals:
    """Localize the 1s orbitals of all atoms of `elements`, by projection on each atom's tightest basis function."""
    mol = ground.field.mol
    atoms: list[int] = []
    orbitals: list[Array] = []
    energies: list[Array] = []
    for element in elements:
        of_element = [atom for atom in range(mol.natm) if mol.atom_pure_symbol(atom) == element]
        if not of_element:
            continue
        shell = _shell(ground, of_element)
        left, _, right = np.linalg.svd(_on_1s(ground, of_element)[shell])
        rotation = left @ right
        atoms += of_element
        orbitals.append(ground.orbitals[:, shell] @ rotation)
        energies.append(ground.energies[shell] @ rotation**2)
    found = np.hstack(orbitals)
    fitted = ground.field.with_df.fit(np.stack([np.outer(orbital, orbital) for orbital in found.T]))
    return CoreOrbitals(tuple(atoms), found, np.concatenate(energies), fitted)


def relaxation_energies(ground: GroundState, cores: CoreOrbitals) -> Array:
    """Return the energy (k,), hartree, negative, by which the other electrons screen a hole in each 1s orbital.

    Static linear response in the random-phase approximation, all 1s electrons frozen.
    """
    mol, count = ground.field.mol, ground.occupied.shape[1]
    heavy = [atom for atom in range(mol.natm) if mol.atom_charge(atom) > 2]
    valence = np.setdiff1d(np.arange(count), _shell(ground, heavy))
    half = ground.half[:, valence]
    fitting, _, functions = half.shape
    pairs = half.reshape(-1, functions) @ ground.empty.astype(np.float32)
    gaps = ground.energies[None, count:] - ground.energies[valence, None]
    pairs = (pairs.reshape(fitting, -1, gaps.shape[1]) * np.sqrt(4 / gaps).astype(np.float32)).reshape(fitting, -1)
    screening = np.eye(fitting) + pairs @ pairs.T
    screened: Array = scipy.linalg.solve(screening, cores.fitted.T, assume_a="pos").T
    return 0.5 * np.einsum("kf,kf->k", cores.fitted, screened - cores.fitted)


def _on_1s(ground: GroundState, atoms: list[int]) -> Array:
    """Return the projection (o, k) of occupied orbitals on the tightest function of each atom."""
    tightest = ground.field.mol.aoslice_by_atom()[atoms, 2]
    return ground.orbitals[:, : ground.occupied.shape[1]].T @ ground.overlap[:, tightest]


def _shell(ground: GroundState, atoms: list[int]) -> np.ndarray:
    """Return the indices of the occupied orbitals that are the 1s orbitals of `atoms`, lowest first."""
    weight = (_on_1s(ground, atoms) ** 2).sum(axis=1)
    return np.sort(np.argsort(weight)[-len(atoms) :])
