"""Diffuse functions on the absorber, added after the ground state: for Rydberg states and the near continuum.

The density stays as it was; only the matrices that the excitations need are extended to the new functions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from pyscf import df, gto

from xas_bluesky.spectra import Array
from xas_bluesky.theory.core_orbitals import CoreOrbitals
from xas_bluesky.theory.ground_state import GroundState

EVEN_TEMPERED = ((0, 0.03, 2), (1, 0.015, 7), (2, 0.07, 1))
"""Angular momentum, smallest exponent (bohr⁻²) and number of the functions, each exponent twice the one before."""
DIFFUSE = [[momentum, [smallest * 2**k, 1.0]] for momentum, smallest, count in EVEN_TEMPERED for k in range(count)]
LEAST_OVERLAP = 1e-4
"""A combination of diffuse functions is kept when at least this much of it lies outside the molecule's own basis."""


@dataclass(frozen=True, slots=True)
class Extended:
    """Hold one absorber's matrices over the molecule's n basis functions and d diffuse ones, N = n + d in all.

    `mol`: PySCF's molecule with both; `center` (3,) bohr: the absorber; `fock`, `coulomb` (N, N): of the ground state and of
    the 1s density; `pair` (f, N): the density-fitting tensor with the other index on the 1s orbital; `dipole` (3, N): its
    dipole matrix elements; `space` (N, v): the orthonormal empty orbitals.
    """

    mol: gto.Mole
    center: Array
    fock: Array
    coulomb: Array
    pair: Array
    dipole: Array
    space: Array


class DiffuseExtension:
    """Extend the matrices of one molecule, absorber by absorber."""

    def __init__(self, ground: GroundState, cores: CoreOrbitals) -> None:
        self._ground, self._cores = ground, cores
        field = ground.field
        fitting, numeric = field.with_df, field._numint
        self._core_half = fitting.half_transformed(cores.orbitals).astype(np.float64)
        self._core_coulomb = fitting.coulomb(cores.fitted)
        self._auxiliary = df.addons.make_auxmol(field.mol, fitting.auxbasis)
        self._metric_root = scipy.linalg.cholesky(self._auxiliary.intor("int2c2e", hermi=1), lower=True)
        total = fitting.fit(2 * ground.occupied @ ground.occupied.T)
        fits = np.vstack([total, cores.fitted]).T
        self._fit_coefficients = scipy.linalg.solve_triangular(self._metric_root, fits, lower=True, trans=1)
        self._basis_values = numeric.eval_ao(field.mol, field.grids.coords, deriv=1)
        potential = numeric.eval_xc_eff(field.xc, ground.density(self._basis_values), deriv=1, xctype="GGA")[1]
        self._potential = potential * field.grids.weights
        self._potential_on_basis = np.einsum("xg,xgm->gm", self._potential, self._basis_values)

    def extend(self, absorber: int) -> Extended:
        """Return the matrices for the absorber that comes at place `absorber` among the cores."""
        ground, mol = self._ground, self._ground.field.mol
        functions, core = mol.nao, self._cores.orbitals[:, absorber]
        center = mol.atom_coord(self._cores.atoms[absorber])
        diffuse = gto.M(atom=[("ghost-He", tuple(center))], basis={"ghost-He": DIFFUSE}, unit="Bohr", verbose=0)
        both = mol + diffuse
        shells = (mol.nbas, both.nbas, 0, both.nbas)
        overlap = both.intor("int1e_ovlp", shls_slice=shells)
        fock = both.intor("int1e_kin", shls_slice=shells) + both.intor("int1e_nuc", shls_slice=shells)
        with both.with_common_orig(center):
            dipole = both.intor("int1e_r", shls_slice=shells)[:, :, :functions] @ core
        with mol.with_common_orig(center):
            dipole = np.hstack([mol.intor("int1e_r") @ core, dipole])
        integrals = self._three_index(both, shells)
        coulomb = integrals @ self._fit_coefficients[:, [0, absorber + 1]]
        half = self._fitted_half(integrals[:, :functions], absorber)
        fock += coulomb[:, :, 0] + self._exchange(half[:, :, :-1]) + self._exchange_correlation(diffuse)
        return Extended(
            mol=both,
            center=center,
            fock=_bordered(ground.fock, fock),
            coulomb=_bordered(self._core_coulomb[absorber], coulomb[:, :, 1]),
            pair=np.hstack([self._core_half[:, :, absorber], half[:, :, -1]]),
            dipole=dipole,
            space=_empty_space(ground, _bordered(ground.overlap, overlap)),
        )

    def _three_index(self, both: gto.Mole, shells: tuple[int, ...]) -> Array:
        """Return the integrals (d, N, f) of a diffuse function times any, against the fitting functions."""
        fitting = (both.nbas, both.nbas + self._auxiliary.nbas)
        return (both + self._auxiliary).intor("int3c2e", shls_slice=(*shells, *fitting))

    def _fitted_half(self, integrals: Array, absorber: int) -> Array:
        """Return the density-fitting tensor (f, d, o + 1), its other index on the occupied orbitals and on the 1s."""
        orbitals = np.hstack([self._ground.occupied, self._cores.orbitals[:, [absorber]]])
        half: Any = np.einsum("dnf,no->fdo", integrals, orbitals, optimize=True)
        flat: Any = scipy.linalg.solve_triangular(
            self._metric_root, half.reshape(len(half), -1), lower=True, check_finite=False
        )
        return flat.reshape(half.shape)

    def _exchange(self, half: Array) -> Array:
        """Return the exchange part (d, N) of the Fock matrix."""
        flat = np.ascontiguousarray(half.transpose(1, 0, 2)).astype(np.float32).reshape(half.shape[1], -1)
        both: Any = np.hstack([flat @ self._ground.half.reshape(-1, self._ground.half.shape[2]), flat @ flat.T])
        return -self._ground.exact_exchange * both

    def _exchange_correlation(self, diffuse: gto.Mole) -> Array:
        """Return the exchange-correlation part (d, N) of the Fock matrix, on the ground state's grid."""
        field = self._ground.field
        values = field._numint.eval_ao(diffuse, field.grids.coords, deriv=1)
        gradient = np.einsum("xg,xgd->gd", self._potential[1:], values[1:])
        with_basis = values[0].T @ self._potential_on_basis + gradient.T @ self._basis_values[0]
        with_diffuse = values[0].T @ (self._potential[0][:, None] * values[0] + gradient) + gradient.T @ values[0]
        return np.hstack([with_basis, with_diffuse])


def _bordered(inner: Array, border: Array) -> Array:
    """Return the symmetric (N, N) matrix of `inner` (n, n) and the rows (d, N) that the diffuse functions add."""
    size = len(inner)
    corner = border[:, size:]
    return np.block([[inner, border[:, :size].T], [border[:, :size], (corner + corner.T) / 2]])


def _empty_space(ground: GroundState, overlap: Array) -> Array:
    """Return the orthonormal empty orbitals (N, v): the molecule's own, then what the diffuse functions add to them."""
    size, count = len(overlap), len(ground.overlap)
    own = np.zeros((size, ground.orbitals.shape[1]))
    own[:count] = ground.orbitals
    added = np.zeros((size, size - count))
    added[count:] = np.eye(size - count)
    added -= own @ (own.T @ (overlap @ added))
    remaining, axes = np.linalg.eigh(added.T @ overlap @ added)
    kept = remaining > LEAST_OVERLAP
    return np.hstack([own[:, ground.occupied.shape[1] :], added @ (axes[:, kept] / np.sqrt(remaining[kept]))])
