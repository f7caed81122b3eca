"""Measure how many site spectra per second come out of sticks, against the plain sum of lines in the same run.

Usage: OMP_NUM_THREADS=1 python benchmarks/broadening.py [SITES]

SITES (default 2000) absorbers of 120 random sticks over 60 eV. The plain sum is one Voigt profile per stick and energy,
without any treatment of the continuum.
"""

import sys
import time

import numpy as np
from scipy.special import voigt_profile

from xas_bluesky.edges import find_edge
from xas_bluesky.spectra import FWHM
from xas_bluesky.theory.broadening import MEGABARN_EV, cross_sections

STICKS = 120
PLAIN = 50
"""Sites for the plain sum."""


def main() -> None:
    """Print sites per second for three resolutions and grids."""
    sites = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    edge = find_edge("C K")
    random = np.random.default_rng(0)
    ionization = random.normal(291, 1, sites)
    energy = ionization[:, None] - 8 + 60 * np.sqrt(random.uniform(size=(sites, STICKS)))
    strength = 10 ** random.uniform(-5, -2, (sites, STICKS))
    count = np.full(sites, STICKS)
    for gaussian, step in ((0.1, 0.05), (0.5, 0.25), (1.0, 0.5)):
        grid = np.arange(276, 340, step)
        start = time.perf_counter()
        cross_sections(
            grid, energy.ravel(), strength.ravel(), count, ionization, jump=edge.jump, gaussian=gaussian, lorentzian=edge.width
        )
        fast = sites / (time.perf_counter() - start)
        start = time.perf_counter()
        for site in range(PLAIN):
            MEGABARN_EV * voigt_profile(grid[:, None] - energy[site], gaussian / FWHM, edge.width / 2) @ strength[site]
        plain = PLAIN / (time.perf_counter() - start)
        print(f"{gaussian} eV, {len(grid)} energies: {fast:.0f} sites/s, plain sum {plain:.0f} sites/s", flush=True)


if __name__ == "__main__":
    main()
