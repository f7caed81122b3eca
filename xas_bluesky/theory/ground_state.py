"""The ground state of a molecule: one density-fitted hybrid-DFT calculation with PySCF, from which all excitations follow."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyscf import df, dft, gto, lib

from xas_bluesky.errors import CalculationError, CandidateError
from xas_bluesky.spectra import Array
from xas_bluesky.theory.calibration import EXACT_EXCHANGE

FUNCTIONAL = f"{EXACT_EXCHANGE:.6f}*HF + {1 - EXACT_EXCHANGE:.6f}*PBE, PBE"
BASIS = {"default": "def2-SVP", **dict.fromkeys(("Al", "Si", "P", "S", "Cl"), "def2-TZVP")}
"""def2-SVP puts oxidized sulfur 0.4 eV too high: the third row needs the steeper d functions of def2-TZVP."""
FITTING_BASIS = "def2-universal-jkfit"
GRID_LEVEL = 0
CONVERGENCE = 1e-5
"""Of the energy, in hartree; 1s energies then lie within 0.02 eV of the limit, rarely 0.04."""
MOST_FUNCTIONS = 500
"""Basis functions of the largest molecule: about 25 heavy atoms, 6 GB of memory."""
UNLIMITED = 1e6
"""MB, for PySCF, which would move its integrals to a file: MOST_FUNCTIONS is what bounds the memory."""


@dataclass(frozen=True, slots=True)
class GroundState:
    """Hold what the excitations need of the ground state.

    `field`: PySCF's converged mean field, with its molecule, grid and density fitting; `occupied` (n, o): orbitals whose
    density made the Fock matrix `fock` (n, n); `orbitals` (n, n), `energies` (n,): the eigenvectors of that very matrix;
    `half` (f, o, n): the density-fitting tensor with one index on `occupied`. Over n basis functions, in hartree.
    """

    field: Any
    overlap: Array
    fock: Array
    occupied: Array
    orbitals: Array
    energies: Array
    half: NDArray[np.float32]

    @property
    def empty(self) -> Array:
        """The empty orbitals (n, n − o)."""
        return self.orbitals[:, self.occupied.shape[1] :]

    @property
    def exact_exchange(self) -> float:
        """The functional's fraction of exact exchange."""
        return float(self.field._numint.rsh_and_hybrid_coeff(self.field.xc, 0)[2])

    def density(self, values: Array) -> Array:
        """Return the density and its gradient (4, g) where the basis functions and their gradients are `values` (4, g, n)."""
        occupied = values @ self.occupied
        density = 2 * np.einsum("gi,xgi->xg", occupied[0], occupied)
        density[1:] *= 2
        return density


def solve_ground_state(numbers: NDArray[np.int64], positions: Array, convergence: float = CONVERGENCE) -> GroundState:
    """Solve for the ground state of a neutral closed-shell molecule, PBE0-1/3.

    `numbers` (n,); `positions` (n, 3) Å; `convergence` of the energy, hartree. Raises CalculationError when the
    self-consistent field does not converge.
    """
    mol = _molecule(numbers, positions)
    field: Any = dft.RKS(mol, xc=FUNCTIONAL).density_fit()
    field.with_df = DensityFitting(mol, auxbasis=FITTING_BASIS)
    field.grids.level = GRID_LEVEL
    field.conv_tol, field.conv_tol_grad, field.conv_check = convergence, 3 * convergence**0.5, False
    last: dict[str, Array] = {}
    field.callback = lambda cycle: last.update(fock=cycle["fock"])  # of the final density, not extrapolated
    field.kernel()
    if not field.converged:
        raise CalculationError(f"the self-consistent field did not converge in {field.max_cycle} cycles")
    overlap: Array = field.get_ovlp()
    occupied: Array = field.mo_coeff[:, : mol.nelectron // 2]
    energies, orbitals = field.eig(last["fock"], overlap)
    half = np.ascontiguousarray(field.with_df.half_transformed(occupied).transpose(0, 2, 1))
    return GroundState(field, overlap, last["fock"], occupied, orbitals, energies, half)


def check_size(numbers: NDArray[np.int64]) -> None:
    """Raise CandidateError when a molecule of these atoms is too large."""
    apart = np.arange(3.0 * len(numbers)).reshape(-1, 3)
    functions = _molecule(numbers, apart).nao
    if functions > MOST_FUNCTIONS:
        raise CandidateError(
            f"{functions} basis functions are too many, the limit is {MOST_FUNCTIONS} (about 25 heavy atoms); give a "
            "fragment that holds the absorber and what is near it"
        )


def _molecule(numbers: NDArray[np.int64], positions: Array) -> gto.Mole:
    atoms = list(zip(numbers.tolist(), positions.tolist(), strict=True))
    return gto.M(atom=atoms, basis=BASIS, verbose=0, unit="Angstrom", max_memory=UNLIMITED)


class DensityFitting(df.DF):
    """Fit densities in memory: Coulomb matrices in double, exchange in single precision."""

    _cderi: Any  # PySCF's own: None before `build`, then the tensor with its two equal indices packed, (f, n (n + 1) / 2)
    tensor: NDArray[np.float32]
    """(f, n, n): what three-index integrals become when divided by the root of the fitting functions' metric."""

    def build(self) -> "DensityFitting":
        """Make the integrals."""
        super().build()
        functions = self.mol.nao
        self.tensor = np.empty((self._cderi.shape[0], functions, functions), np.float32)
        for start in range(0, len(self.tensor), 64):
            self.tensor[start : start + 64] = lib.unpack_tril(self._cderi[start : start + 64])
        return self

    def get_jk(self, dm: Any, hermi: int = 1, with_j: bool = True, with_k: bool = True, *_: Any, **__: Any) -> tuple[Any, Any]:  # noqa: ARG002
        """Return the Coulomb and exchange matrices of one density matrix, as PySCF asks for them."""
        if self._cderi is None:
            self.build()
        coulomb = self.coulomb(self.fit(np.asarray(dm))) if with_j else None
        exchange = self._exchange(dm) if with_k else None
        return coulomb, exchange

    def fit(self, densities: Array) -> Array:
        """Return the fit (…, f) of symmetric density matrices (…, n, n), in double precision."""
        doubled = 2 * densities - densities * np.eye(densities.shape[-1])
        packed = lib.pack_tril(doubled.reshape(-1, *doubled.shape[-2:]))
        return (packed @ self._cderi.T).reshape(*densities.shape[:-2], -1)

    def coulomb(self, fitted: Array) -> Array:
        """Return the Coulomb matrices (…, n, n) of fitted densities (…, f)."""
        packed = np.atleast_2d(fitted) @ self._cderi
        return lib.unpack_tril(packed).reshape(*fitted.shape[:-1], self.mol.nao, self.mol.nao)

    def half_transformed(self, orbitals: Array) -> NDArray[np.float32]:
        """Return the tensor with one index on `orbitals` (n, k), as (f, n, k)."""
        fitting, functions, _ = self.tensor.shape
        flat = self.tensor.reshape(fitting * functions, functions) @ orbitals.astype(np.float32)
        return flat.reshape(fitting, functions, -1)

    def _exchange(self, dm: Any) -> Array:
        if hasattr(dm, "mo_coeff"):
            filled = dm.mo_occ > 0
            weighted = dm.mo_coeff[:, filled] * np.sqrt(dm.mo_occ[filled])
        else:
            occupation, natural = np.linalg.eigh(np.asarray(dm))
            filled = occupation > 1e-6
            weighted = natural[:, filled] * np.sqrt(occupation[filled])
        half = self.half_transformed(weighted)
        half = np.ascontiguousarray(half.transpose(1, 0, 2)).reshape(len(weighted), -1)
        return (half @ half.T).astype(np.float64)
