"""Where the edge of a spectrum lies that is not fully known: its steepest point, how sure that is, and on what it hangs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.stats import norm, qmc

from xas_bluesky.decision.spectrum_prior import Process
from xas_bluesky.spectra import Array

HALF_WIDTH, STEP = 4.0, 0.25
"""eV: where the steepest point is looked for, about where it is expected."""
SMOOTHING = 0.35
"""Half width (eV) of the Lorentzian that smooths the slope, about what xraylarch takes between 2 and 13 keV."""
COUNT = round(2 * HALF_WIDTH / STEP) + 1


@dataclass(frozen=True, slots=True)
class EdgePosition:
    """Hold the edge's position and std (eV), and how it depends on mu at `energy` (k,): `slope` (k,) eV.

    `mean` (k,) and `covariance` (k, k): of mu there.
    """

    energy: Array
    mean: Array
    covariance: Array
    position: float
    std: float
    slope: Array

    @classmethod
    def find(cls, process: Process, low: float, high: float, doubt: Callable[[Array], Array]) -> Self:
        """Find the edge between `low` and `high` eV; `doubt` gives the factor (k,) on the process's errors."""
        coarse = np.arange(low, high, STEP)
        middle = coarse[np.gradient(process.mean(coarse, process.explained(coarse))).argmax()]
        energy = middle + STEP * (np.arange(COUNT) - COUNT // 2)
        explained = process.explained(energy)
        left = process.covariance(energy, energy) - explained.T @ explained
        return cls._drawn(energy, process.mean(energy, explained), left * np.outer(doubt(energy), doubt(energy)))

    def after(self, column: Array) -> "EdgePosition":
        """Return it once a point is measured whose covariance with mu here, over its standard deviation, is `column` (k,)."""
        return self._drawn(self.energy, self.mean, self.covariance - np.outer(column, column))

    @classmethod
    def _drawn(cls, energy: Array, mean: Array, covariance: Array) -> Self:
        """Draw curves, find the edge of each, and regress it on mu: the edge jumps where two slopes are alike."""
        size, axes = np.linalg.eigh(covariance)
        kept = size > 1e-9 * size[-1]
        root = np.sqrt(size[kept])
        draws = DRAWS[:, : len(root)]
        positions = _steepest(energy, mean + draws @ (axes[:, kept] * root).T)
        along = (positions - positions.mean()) @ (draws - draws.mean(axis=0)) / len(draws)
        position = float(_steepest(energy, mean[None])[0])
        return cls(energy, mean, covariance, position, float(positions.std()), axes[:, kept] @ (along / root))


def _steepest(energy: Array, mu: Array) -> Array:
    """Find where each of the curves mu (c, k) rises fastest, (c,) eV."""
    rise = mu @ RISE
    top = np.clip(rise.argmax(axis=1), 1, len(energy) - 2)[:, None]
    before, at, after = (np.take_along_axis(rise, top + step, axis=1)[:, 0] for step in (-1, 0, 1))
    bend = np.minimum(before - 2 * at + after, -1e-12)
    return energy[top[:, 0]] + 0.5 * STEP * np.clip((before - after) / bend, -1, 1)


def _rise() -> Array:
    """Return what makes of mu (k,) its smoothed slope, (k, k)."""
    apart = np.subtract.outer(np.arange(COUNT), np.arange(COUNT)) * STEP
    lorentzian = 1 / (1 + (apart / SMOOTHING) ** 2)
    return np.gradient(np.eye(COUNT), axis=1) @ (lorentzian / lorentzian.sum(axis=0))


RISE: Array = _rise()
DRAWS: Array = np.asarray(norm.ppf(qmc.Sobol(COUNT, rng=0).random(128)))
"""Normal draws (c, k), the same each time: a decision can be replayed."""
