"""A simulated sample: normalized absorption as a function of the photon energy."""

from collections.abc import Callable

import numpy as np

from xas_bluesky.edges import Edge
from xas_bluesky.errors import SpectrumError
from xas_bluesky.reduction import absorption, normalize
from xas_bluesky.spectra import FWHM, Array, Spectrum

MuOfEnergy = Callable[[Array], Array]
"""Photon energies (n,) eV -> absorption (n,), edge-step-normalized: 0 below the edge, about 1 above it."""

KERNEL = np.linspace(-4.0, 4.0, 81)
"""Where a Gaussian is sampled, in standard deviations: a sum over it is exact to 1e-4 of the area."""


def mu_of_energy(spectrum: Spectrum, edge: Edge) -> MuOfEnergy:
    """Make the absorption of a known `spectrum` (raw detector columns, or mu) a function of energy.

    The pre-edge line is removed and the edge step divided out, since raw offsets are arbitrary. Outside the measured
    range the function is 0 below and the last value above. Raises SpectrumError when `edge` is not within that range.
    """
    low, high = float(np.min(spectrum.energy)), float(np.max(spectrum.energy))
    if not low < edge.energy < high:
        raise SpectrumError(
            f"known spectrum: it covers {low:.1f}–{high:.1f} eV, without the {edge} edge at {edge.energy:.1f} eV; "
            "give a spectrum of that edge, or its own edge"
        )
    known = normalize(absorption(spectrum))

    def interpolated(energy: Array) -> Array:
        return np.interp(energy, known.energy, known.norm, left=0.0)

    return interpolated


def broadened(mu: MuOfEnergy, resolution: float) -> MuOfEnergy:
    """Convolve `mu` with a Gaussian of full width at half maximum `resolution` (eV); 0 leaves it as it is."""
    if resolution == 0:
        return mu
    shifts = KERNEL * resolution / FWHM
    weights = np.exp(-0.5 * KERNEL**2)
    weights /= weights.sum()

    def convolved(energy: Array) -> Array:
        return mu((energy[:, None] - shifts).ravel()).reshape(len(energy), -1) @ weights

    return convolved


def plain_edge(edge: Edge) -> MuOfEnergy:
    """Return a featureless edge, an arctangent of the core hole's width: the reference foil."""

    def arctangent(energy: Array) -> Array:
        return 0.5 + np.arctan((energy - edge.energy) / (edge.width / 2)) / np.pi

    return arctangent
