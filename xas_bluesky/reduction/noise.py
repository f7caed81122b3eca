"""The noise of mu where the counters do not tell it: from repeated points, or from the scatter about a smooth curve."""

import numpy as np

from xas_bluesky.spectra import Array

MEDIAN_OF_ABSOLUTE_NORMAL = 0.6744897501960817
SMALLEST_NOISE = 1e-5
"""No estimate goes below this share of the range of mu: a variance of zero would outweigh every other point."""
SAME_ENERGY = 0.05
"""eV: readbacks as close as this are repeats of one point."""
FEWEST_REPEATS = 20


def estimate_noise(energy: Array, mu: Array, dwell: Array) -> tuple[Array, str]:
    """Estimate the variance (n,) of mu (n,), which goes down as the `dwell` (n,) goes up; say what it comes from.

    "repeats" where enough points were measured again, else "scatter"; "unknown", and infinite, where neither can be told.
    """
    order = np.lexsort((np.arange(len(energy)), energy))
    energy, mu, exposed = energy[order], mu[order], (dwell / np.median(dwell))[order] if len(dwell) else dwell
    apart = np.diff(energy)
    again = (apart < SAME_ENERGY) & ((apart == 0) | (np.abs(np.diff(order)) > 1))  # not the next step of a fine scan
    again &= np.diff(mu) != 0  # nor one point received twice
    if again.sum() >= FEWEST_REPEATS:
        source, misfit = "repeats", np.diff(mu)[again] / np.sqrt(1 / exposed[1:] + 1 / exposed[:-1])[again]
    else:
        source, misfit = "scatter", _misfit_to_neighbours(energy, mu, exposed)
    if not len(misfit) or np.ptp(mu) == 0:
        return np.full(len(energy), np.inf), "unknown"
    noise = max(float(np.median(np.abs(misfit))) / MEDIAN_OF_ABSOLUTE_NORMAL, SMALLEST_NOISE * float(np.ptp(mu)))
    variance = np.empty(len(energy))
    variance[order] = noise**2 / exposed
    return variance, source


def _misfit_to_neighbours(energy: Array, mu: Array, exposed: Array) -> Array:
    """Return the misfit of each point to a cubic through its four neighbours, in units of one point's noise.

    A straight line through two would take a white line's curvature for noise (an edge sampled at 0.2 eV with 0.01 % noise:
    up to 20 times too much).
    """
    energy, first = np.unique(energy, return_index=True)
    mu, exposed = mu[first], exposed[first]
    if len(energy) < 5:
        return np.empty(0)
    neighbours = np.arange(2, len(energy) - 2)[:, None] + np.array([-2, -1, 1, 2])
    around = energy[neighbours]
    weights = np.ones_like(around)
    for i in range(4):
        for j in set(range(4)) - {i}:
            weights[:, i] *= (energy[2:-2] - around[:, j]) / (around[:, i] - around[:, j])
    expected = 1 / exposed[2:-2] + (weights**2 / exposed[neighbours]).sum(axis=1)
    return (mu[2:-2] - (weights * mu[neighbours]).sum(axis=1)) / np.sqrt(expected)
