"""A simulated sample: normalized absorption as a function of the photon energy."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xas_bluesky.edges import Edge
from xas_bluesky.errors import SettingsError, SpectrumError
from xas_bluesky.reduction import absorption, normalize
from xas_bluesky.spectra import FWHM, Array, Spectrum

MuOfEnergy = Callable[[Array], Array]
"""Photon energies (n,) eV -> absorption (n,), edge-step-normalized: 0 below the edge, about 1 above it."""


@dataclass(frozen=True, slots=True)
class FragileSample:
    """Hold a sample that the beam turns into another: after `dose` photons on a spot 1/e of it is still `fresh`.

    `fresh`, `damaged`: known spectra, or functions of energy. Raises SettingsError for a dose that is not positive.
    """

    fresh: Spectrum | MuOfEnergy
    damaged: Spectrum | MuOfEnergy
    dose: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.dose) and self.dose > 0):
            raise SettingsError(f"fragile sample: dose {self.dose!r}; give a finite, positive number of photons")


Sample = Spectrum | MuOfEnergy | FragileSample

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


class Spot:
    """One spot of a sample in the beam: its absorption by energy, which changes with the photons it has taken."""

    def __init__(self, sample: Sample, edge: Edge, resolution: float) -> None:
        fresh, damaged = (sample.fresh, sample.damaged) if isinstance(sample, FragileSample) else (sample, sample)
        self._fresh, self._damaged = (
            broadened(mu_of_energy(known, edge) if isinstance(known, Spectrum) else known, resolution)
            for known in (fresh, damaged)
        )
        self._lasts = sample.dose if isinstance(sample, FragileSample) else math.inf
        self.photons = 0.0

    def mu(self, energy: Array) -> Array:
        """Return the absorption (n,) as it is now, at photon energies (n,) eV."""
        fresh = math.exp(-self.photons / self._lasts)
        return self._fresh(energy) if fresh == 1 else fresh * self._fresh(energy) + (1 - fresh) * self._damaged(energy)


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
