"""What a calculation of core excitations gives: sticks per absorber, with the geometry they belong to."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.spectra import Array


@dataclass(frozen=True, slots=True)
class Sticks:
    """Hold the 1s excitations of one absorber (site) as computed, before calibration.

    `atom`: its index in the molecule; `energy` (k,) eV, increasing; `strength` (k,) oscillator strengths; `ionization`: minus
    the orbital energy of its 1s electron, eV; `relaxation`: the energy by which the other electrons relax when that
    electron is gone, eV, negative.
    """

    atom: int
    element: str
    energy: Array
    strength: Array
    ionization: float
    relaxation: float


@dataclass(frozen=True, slots=True)
class ComputedMolecule:
    """Hold the core excitations of one molecule.

    `smiles`: canonical; `numbers` (n,) atomic numbers; `positions` (n, 3) Å.
    """

    smiles: str
    numbers: NDArray[np.int64]
    positions: Array
    sites: tuple[Sticks, ...]
