"""Spectra of absorbers as the networks learn them: in energy from the ionization energy, in atomic edge jumps."""

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.edges import Edge
from xas_bluesky.spectra import Array
from xas_bluesky.theory.broadening import cross_sections

RELATIVE_ENERGY = np.round(np.arange(-12.0, 12.01, 0.2), 1)
"""eV from the ionization energy."""
GAUSSIANS = {"C K": 0.8, "N K": 0.8, "O K": 0.8, "F K": 0.8, "S K": 1.0}
"""Full widths at half maximum, eV, beside the core hole's: what vibrations do to light molecules, and a fine mono to S."""


def relative_spectra(edge: Edge, relative: Array, strength: Array, count: NDArray[np.int64]) -> Array:
    """Return the spectra (n, m) of n sites on RELATIVE_ENERGY.

    `edge`: one of GAUSSIANS; `relative`, `strength` (k,): calibrated sticks, site by site, eV from the ionization energy of
    their site; `count` (n,): sticks per site.
    """
    widths = {"gaussian": GAUSSIANS[str(edge)], "lorentzian": edge.width}
    spectra = cross_sections(RELATIVE_ENERGY, relative, strength, count, np.zeros(len(count)), jump=edge.jump, **widths)
    return spectra / edge.jump
