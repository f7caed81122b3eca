"""What a normalized spectrum may look like, before and while it is measured: a Gaussian process around the edge."""

import functools
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Self

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from xas_bluesky.spectra import Array

REACH = (-300.0, 1500.0, 0.25)
"""eV from the edge: from where to where, and in which steps, the prior is tabulated."""
OFFSET_SD, SCALE_SD = 0.02, 0.05
"""What a provisional normalization may be off by, in edge steps and relative to the edge step."""
FREEDOM = 6.0
"""How many points the learned amplitude counts for against those measured."""
LOCAL_FREEDOM = 1.0
"""The same, for the amplitude near one energy."""
NEAR = 1.0
"""Correlation lengths over which a local amplitude is averaged."""
ROUNDS = 2
LENGTH_SPREAD = 0.3
"""(Logarithmic) standard deviation of the lengths of one spectrum relative to the learned ones."""
EDGE_STEPS = np.arange(-12.0, 9.0, 1.5)
"""eV from where mu is half of its height: where the prior's edge is looked for."""
LENGTHS = np.array([0.45, 0.63, 0.9, 1.25, 1.75])
REFINED = ((1.0, 1.25), (0.5, 1.12), (0.25, 1.06))
"""Steps of the edge (eV) and of the length (factor), round by round."""


@dataclass(frozen=True, slots=True)
class SpectrumPrior:
    """Hold tables (k,) over energy from the edge: `offset` eV; `way`, the energy in correlation lengths; `amplitude`, `mean`.

    Covariance: a Matérn function (ν = 7/2) of the way between two energies, times both amplitudes, so that a spectrum is
    lively and quick in the edge, level below and slow far above it.
    """

    offset: Array
    way: Array
    amplitude: Array
    mean: Array

    @classmethod
    @functools.cache
    def learned(cls) -> Self:
        """Return the prior that was learned from measured spectra (its source is in the file)."""
        table = json.loads((files("xas_bluesky") / "data" / "whole_spectrum.json").read_text())
        offset = np.arange(*REACH)
        log_length, log_amplitude = (
            np.interp(offset, table["knots"], np.log(table[name])) for name in ("length", "amplitude")
        )
        mean = np.interp(offset, table["mean_knots"], table["mean"])
        return cls(offset, np.cumsum(np.exp(-log_length)) * REACH[2], np.exp(log_amplitude), mean)

    def at(self, energy: Array, edge: float) -> tuple[Array, Array, Array]:
        """Return way, amplitude and mean (n,) at `energy` (n,) eV of a spectrum whose edge is at `edge` eV."""
        away = energy - edge
        way, amplitude, mean = (np.interp(away, self.offset, table) for table in (self.way, self.amplitude, self.mean))
        return way, amplitude, mean


@dataclass(frozen=True, slots=True)
class Process:
    """Hold the prior fitted to n measured points.

    `edge` eV; `length`, relative to the learned ones; `energy` (n,) eV, increasing; `local` (n,) variance there, relative to
    the learned one; `factor` (n, n) Cholesky factor of the covariance of what is measured; `solved` (n,) factor⁻¹(mu − mean).
    """

    prior: SpectrumPrior
    edge: float
    length: float
    energy: Array
    local: Array
    factor: Array
    solved: Array

    @classmethod
    def fit(cls, energy: Array, mu: Array, variance: Array) -> Self:
        """Fit to points (n,): energies (eV, increasing), normalized mu, and its variance."""
        prior = SpectrumPrior.learned()
        edge, length, amplitude = _most_likely(prior, energy, mu, variance)
        way, base, mean = prior.at(energy, edge)
        apart = (way[:, None] - way) / length
        covariance = matern(apart) * np.outer(base, base)
        near = np.exp(-0.5 * (apart / NEAR) ** 2)
        rest = _baseline(mean, mean) + np.diag(variance)
        local = np.full(len(energy), amplitude)
        for _ in range(ROUNDS):
            inverse = np.linalg.inv(covariance * np.sqrt(np.outer(local, local)) + rest)
            precision = np.diag(inverse)
            surprise = (inverse @ (mu - mean)) ** 2 / precision  # squared leave-one-out residual in units of its variance
            weight = np.clip(1 - variance * precision, 0.0, 1.0)  # a residual that is all noise says nothing
            local = (LOCAL_FREEDOM * amplitude + near @ (weight * local * surprise)) / (LOCAL_FREEDOM + near @ weight)
        factor = np.linalg.cholesky(covariance * np.sqrt(np.outer(local, local)) + rest)
        factor = np.asarray(factor, dtype=np.float64)
        solved = solve_triangular(factor, mu - mean, lower=True)
        return cls(prior, edge, length, energy, local, factor, solved)

    def covariance(self, first: Array, second: Array) -> Array:
        """Return the prior's covariance (n, m) between energies (n,) and (m,) eV, local amplitudes counted."""
        (way, size, mean), (other_way, other_size, other_mean) = self._at(first), self._at(second)
        return matern((way[:, None] - other_way) / self.length) * np.outer(size, other_size) + _baseline(mean, other_mean)

    def variance(self, energy: Array) -> Array:
        """Return the prior's variance (n,)."""
        _, size, mean = self._at(energy)
        return size**2 + OFFSET_SD**2 + (SCALE_SD * mean) ** 2

    def explained(self, energy: Array) -> Array:
        """Return what the points tell of energies (m,), (n, m): its square is what they take off the prior's covariance."""
        return solve_triangular(self.factor, self.covariance(self.energy, energy), lower=True, check_finite=False)

    def mean(self, energy: Array, explained: Array) -> Array:
        """Return the expected mu (m,)."""
        return self._at(energy)[2] + explained.T @ self.solved

    def _at(self, energy: Array) -> tuple[Array, Array, Array]:
        way, base, mean = self.prior.at(energy, self.edge)
        return way, base * np.sqrt(np.interp(energy, self.energy, self.local)), mean


def matern(distance: Array) -> Array:
    """Return the Matérn correlation (ν = 7/2) at a distance in correlation lengths."""
    scaled = np.sqrt(7.0) * np.abs(distance)
    return (1 + scaled * (1 + scaled * (0.4 + scaled / 15))) * np.exp(-scaled)


def _baseline(mean: Array, other: Array) -> Array:
    return OFFSET_SD**2 + SCALE_SD**2 * np.outer(mean, other)


def _most_likely(prior: SpectrumPrior, energy: Array, mu: Array, variance: Array) -> tuple[float, float, float]:
    """Find the edge (eV), the relative length, and the relative variance of highest evidence."""
    start = half_height(energy, mu)

    def best(tried: list[tuple[float, float]]) -> tuple[float, float, float, float]:
        return max(_evidence(prior, energy, mu, variance, edge, length) for edge, length in tried)

    found = best([(start + step, 1.0) for step in EDGE_STEPS])
    found = max(found, best([(found[1], length) for length in LENGTHS]))
    for step, factor in REFINED:
        found = max(found, best([(found[1] - step, found[2]), (found[1] + step, found[2])]))
        found = max(found, best([(found[1], found[2] / factor), (found[1], found[2] * factor)]))
    return found[1:]


def _evidence(
    prior: SpectrumPrior, energy: Array, mu: Array, variance: Array, edge: float, length: float
) -> tuple[float, float, float, float]:
    """Return the log evidence, the amplitude integrated out (Student's t), then edge, length and relative variance."""
    way, base, mean = prior.at(energy, edge)
    total = matern((way[:, None] - way) / length) * np.outer(base, base) + _baseline(mean, mean) + np.diag(variance)
    factor = cho_factor(total, lower=True, overwrite_a=True, check_finite=False)
    misfit = FREEDOM + float((mu - mean) @ cho_solve(factor, mu - mean, check_finite=False))
    log_evidence = -0.5 * (FREEDOM + len(mu)) * np.log(misfit) - np.log(np.diag(factor[0])).sum()
    unusual = np.log(length) / LENGTH_SPREAD
    return float(log_evidence - 0.5 * unusual**2), edge, length, misfit / (FREEDOM + len(mu))


def half_height(energy: Array, mu: Array) -> float:
    """Return the energy (eV) where mu first rises through half of its height beyond the highest point."""
    above = mu[int(mu.argmax()) :]
    half = 0.5 * float(np.median(above))
    rising = np.flatnonzero((mu[:-1] < half) & (mu[1:] >= half))
    at = int(rising[0]) if len(rising) else int(np.diff(mu).argmax())
    share = np.clip((half - mu[at]) / (mu[at + 1] - mu[at]), 0.0, 1.0) if len(rising) else 0.5
    return float(energy[at] + share * (energy[at + 1] - energy[at]))
