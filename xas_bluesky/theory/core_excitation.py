"""K-edge excitations from the ground state, one small matrix per absorber.

Core–valence-separated Tamm–Dancoff approximation (Cederbaum, Domcke and Schirmer, Phys. Rev. A 22, 206, 1980,
doi:10.1103/PhysRevA.22.206; Hirata and Head-Gordon, doi:10.1016/S0009-2614(99)01149-5): with one localized 1s orbital c,
the singlet matrix has only the dimension of the empty orbitals,

    A_ab = F_ab − ε_c δ_ab + 2 (ca|cb) + 2 (ca|f_xc|cb) − x (cc|ab),

x being the fraction of exact exchange. Its eigenvalues are all the excitation energies of this absorber at once.
"""

import functools
from typing import Any

import numpy as np
from pyscf.data.nist import HARTREE2EV
from pyscf.dft import LebedevGrid

from xas_bluesky.spectra import Array
from xas_bluesky.theory.core_orbitals import core_orbitals, relaxation_energies
from xas_bluesky.theory.diffuse import DiffuseExtension, Extended
from xas_bluesky.theory.ground_state import GroundState
from xas_bluesky.theory.sticks import Sticks

RANGE = 60.0
"""Excitations are kept up to this far (eV) above the first."""
CORE_RADIUS = 1.5
"""Bohr: beyond it a 1s orbital of carbon or anything heavier has vanished."""
RADIAL, ANGULAR = 30, 50
"""Points of the grid around an absorber."""


def core_excitations(ground: GroundState, elements: tuple[str, ...]) -> tuple[Sticks, ...]:
    """Compute the singlet 1s excitations of every atom of `elements`, atoms in the molecule's order.

    There must be one such atom.
    """
    cores = core_orbitals(ground, elements)
    relaxation = relaxation_energies(ground, cores)
    extension = DiffuseExtension(ground, cores)
    sites: list[Sticks] = []
    for place, atom in enumerate(cores.atoms):
        energies, strengths = _excite(ground, cores.orbitals[:, place], cores.energies[place], extension.extend(place))
        sites.append(
            Sticks(
                atom=atom,
                element=ground.field.mol.atom_pure_symbol(atom),
                energy=energies,
                strength=strengths,
                ionization=float(-cores.energies[place] * HARTREE2EV),
                relaxation=float(relaxation[place] * HARTREE2EV),
            )
        )
    return tuple(sorted(sites, key=lambda site: site.atom))


def _excite(ground: GroundState, core: Array, core_energy: float, extended: Extended) -> tuple[Array, Array]:
    """Return energies (k,), eV, and oscillator strengths (k,)."""
    space = extended.space
    pair = extended.pair @ space
    matrix = space.T @ (extended.fock - ground.exact_exchange * extended.coulomb) @ space
    matrix += 2 * pair.T @ pair + _response(ground, core, extended)
    matrix[np.diag_indices(len(matrix))] -= core_energy
    energies, vectors = np.linalg.eigh(matrix)
    strengths = 4 / 3 * energies * ((extended.dipole @ space @ vectors) ** 2).sum(axis=0)
    kept = (energies - energies[0]) * HARTREE2EV < RANGE
    return energies[kept] * HARTREE2EV, strengths[kept]


def _response(ground: GroundState, core: Array, extended: Extended) -> Array:
    """Return the exchange-correlation kernel 2 (ca|f_xc|cb) over the empty orbitals, on a grid around the absorber only."""
    field: Any = ground.field
    functions = len(core)
    points, weights = _core_grid()
    values = field._numint.eval_ao(extended.mol, points + extended.center, deriv=1)
    density = ground.density(values[:, :, :functions])
    kernel = field._numint.eval_xc_eff(field.xc, density, deriv=2, xctype="GGA")[2] * weights
    on_core = values[:, :, :functions] @ core
    on_empty = values @ extended.space
    product = on_core[0][None, :, None] * on_empty
    product[1:] += on_core[1:, :, None] * on_empty[:1]
    size = product.shape[2]
    weighted = np.einsum("xyg,yga->xga", kernel, product, optimize=True)
    return 2 * product.reshape(-1, size).T @ weighted.reshape(-1, size)


@functools.cache
def _core_grid() -> tuple[Array, Array]:
    """Return points (g, 3), bohr, and weights (g,) around an absorber, densest at its nucleus."""
    roots, weights = np.polynomial.legendre.leggauss(RADIAL)
    fraction, weights = (roots + 1) / 2, weights / 2
    radius, width = CORE_RADIUS * fraction**3, 3 * CORE_RADIUS * fraction**2 * weights
    sphere = LebedevGrid.MakeAngularGrid(ANGULAR)
    points = radius[:, None, None] * sphere[None, :, :3]
    return points.reshape(-1, 3), (4 * np.pi * (radius**2 * width)[:, None] * sphere[None, :, 3]).ravel()
