"""Complete a computed bound-state spectrum: the atomic edge jump, and the states above it damped into it.

A calculation in a finite basis gives sticks above the ionization energy too, where there is a continuum: they fade out
there, and the atomic jump takes their place. Spectra are given on energies relative to the ionization energy.
"""

import re

from scipy.special import ndtr

from xas_bluesky.errors import EdgeError
from xas_bluesky.spectra import Array

RISE = 1.0
"""The jump rises, and the sticks fade, over about this many eV to each side of the ionization energy."""

S_1S_IONIZATION = (2477.6, 2480.2, 2482.7, 2484.0)
"""S 1s ionization energies (eV) with 0, 1, 2, 3 oxygen atoms on the sulfur.

From ΔSCF differences (PBE0/def2-TZVP: dimethyl sulfide and methanethiol, dimethyl sulfoxide, dimethyl sulfone,
methanesulfonic acid) put on the measured H2S 2478.5 and SO2 2483.7 eV (Keski-Rahkonen and Krause, J. Electron Spectrosc.
Relat. Phenom. 9, 371, 1976); see docs/models.md.
"""


def kind_of(environment: str) -> str:
    """Return what of an environment settles where its spectrum lies: the oxygen atoms, and a carbon doubly bonded.

    The kinds of sulfur are so "S", "S(=C)", "S(=O)", "S(=O)(=O)", …
    """
    neighbours = re.findall(r"\([^)]*\)", environment)
    symbol = environment.partition("(")[0]
    return symbol + "".join(found for found in neighbours if found.endswith("O)") or found == "(=C)")


def ionization_energy(environment: str, edge: str) -> float:
    """Return the ionization energy (eV) of an absorber in an environment named by `structures.environment`, or its kind.

    Raises EdgeError for an edge without ionization energies.
    """
    if edge != "S K":
        raise EdgeError(f"edge {edge!r}: no ionization energies are known; only 'S K' is covered")
    oxygens = environment.count("O)")
    return S_1S_IONIZATION[min(oxygens, len(S_1S_IONIZATION) - 1)]


def faded(spectrum: Array, relative: Array) -> Array:
    """Return the sticks' broadened spectrum (…, m) without its part above the ionization energy."""
    return spectrum * ndtr(-relative / RISE)


def with_continuum(spectrum: Array, relative: Array) -> Array:
    """Return the complete spectrum (…, m), in atomic edge jumps, from the faded one."""
    return spectrum + ndtr(relative / RISE)
