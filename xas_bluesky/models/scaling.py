"""Between the networks' outputs and spectra on an absolute scale."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from xas_bluesky.spectra import Array


@dataclass(frozen=True, slots=True)
class Sites:
    """Hold what several networks say of k absorbers of one edge.

    `spectrum` (k, m) their mean, in atomic edge jumps, on energies relative to `ionization` (k,) eV; `disagreement`
    (k, networks, m): factors of the covariance between them; `noise` (k,): logarithm of the error that they expect.
    """

    spectrum: Array
    ionization: Array
    disagreement: Array
    noise: Array


@dataclass(frozen=True, slots=True)
class Scaling:
    """Hold how outputs are scaled at one edge, so that training data are of order one.

    `energy` (m,): evenly spaced, eV from the ionization energy; a spectrum (atomic edge jumps) is `center` (m,) + `scale` ·
    output; an ionization energy (eV) is `ionization` + `spread` · output.
    """

    energy: Array
    center: Array
    scale: float
    ionization: float
    spread: float

    @classmethod
    def fit(cls, energy: Array, spectra: Array, ionization: Array) -> Self:
        """Fit to training sites' spectra (n, m) and ionization energies (n,)."""
        center = spectra.mean(axis=0)
        scale = float(np.abs(spectra - np.median(spectra, axis=0)).mean())
        # where all have one ionization energy there is nothing to scale
        return cls(energy, center, scale, float(ionization.mean()), float(ionization.std()) or 1.0)

    def scaled(self, spectra: Array, ionization: Array) -> tuple[Array, Array]:
        """Return what the networks should give for these spectra (n, m) and ionization energies (n,)."""
        return (spectra - self.center) / self.scale, (ionization - self.ionization) / self.spread

    def sites(self, outputs: Array) -> Sites:
        """Make spectra of the outputs (networks, k, m + 2) of networks: spectrum, ionization energy, noise."""
        spectra = self.center + self.scale * outputs[..., :-2]
        ionization = self.ionization + self.spread * outputs[..., -2]
        middle = ionization.mean(axis=0)
        mean = spectra.mean(axis=0)
        # a network that puts the ionization energy elsewhere puts the whole spectrum there
        moved = self.moved(spectra, ionization - middle)
        deviations = np.moveaxis(moved - moved.mean(axis=0), 0, 1)
        return Sites(mean, middle, deviations / np.sqrt(max(len(outputs) - 1, 1)), outputs[..., -1].mean(axis=0))

    def moved(self, spectra: Array, by: Array) -> Array:
        """Shift spectra (…, m) up in energy by eV (…); values beyond the ends are those at the ends."""
        return interpolated(spectra, np.arange(len(self.energy)) - by[..., None] / self.step)

    def placed(self, spectra: Array, ionization: Array, grid: Array) -> Array:
        """Put spectra (k, …, m) at their ionization energies (k,) on a grid (p,) eV; they end as they are at their ends."""
        place = (grid - ionization[:, None] - self.energy[0]) / self.step
        between = (1,) * (spectra.ndim - 2)
        return interpolated(spectra, place.reshape(len(place), *between, len(grid)))

    @property
    def step(self) -> float:
        """The spacing of the energies, eV."""
        return float(self.energy[1] - self.energy[0])


def interpolated(values: Array, place: Array) -> Array:
    """Return values (…, m) at fractional places (…, p) along their last axis; beyond the ends, those at the ends."""
    place = np.clip(place, 0, values.shape[-1] - 1)
    below = np.minimum(place.astype(np.int64), values.shape[-1] - 2)
    part = place - below
    shape = (*values.shape[:-1], place.shape[-1])
    lower, upper = (np.take_along_axis(values, np.broadcast_to(below + k, shape), axis=-1) for k in (0, 1))
    return (1 - part) * lower + part * upper
