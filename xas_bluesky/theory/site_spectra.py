"""Spectra of the absorbers in a data set of core excitations."""

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.spectra import Array
from xas_bluesky.theory.broadening import cross_sections
from xas_bluesky.theory.calibration import calibrated, k_edge
from xas_bluesky.theory.dataset import Dataset


def site_spectra(dataset: Dataset, edge: str, grid: Array, gaussian: float) -> tuple[NDArray[np.int64], Array]:
    """Compute the spectra of all absorbers at `edge` ("S K"), on the absolute scale.

    `grid` (m,): energies, eV; `gaussian`: the instrument's full width at half maximum, eV. Returns the sites' indices (n,) and
    their cross-sections (n, m) in Mb per absorber; divided by `find_edge(edge).jump` they lie on the scale of a measured,
    edge-step-normalized spectrum. Raises EdgeError for an edge without constants, and as `cross_sections`.
    """
    found = k_edge(edge)
    sites, energy, ionization = calibrated(dataset, found.absorber)
    strength, count = dataset.strength[dataset.sticks_of(sites)], dataset.site_sticks[sites]
    widths = {"gaussian": gaussian, "lorentzian": found.width}
    return sites, cross_sections(grid, energy, strength, count, ionization, jump=found.jump, **widths)
