"""Recovery of a whole spectrum from few points: what it looks like, how sure that is, and where to measure next.

A Gaussian process whose mean, amplitude and correlation length over the energy from the edge were learned from measured
spectra. It is fitted to the points at hand (edge, length, amplitude), with an amplitude that rises where a point left out
is predicted badly: a sharp line draws points.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, qmc

from xas_bluesky.decision.spectrum_prior import Process
from xas_bluesky.errors import SpectrumError
from xas_bluesky.spectra import Absorption, Array

FEWEST = 6
"""Fewer points tell nothing of the edge."""
SCOUT = (-np.inf, -10.0, 0.0, 10.0, 20.0, 35.0, np.inf)
"""eV from the tabulated edge: what is measured before anything is known. Measured edges lie 3 eV below to 20 eV above."""
SCOUTED = 4.0
"""A point as near as this (eV) does for one of the scout's."""
GOAL_RMSE, GOAL_EDGE = 0.005, 0.1
"""What is to be reached: the error of mu, in edge steps, and of the edge's position, in eV."""
EDGE_SHARE = 0.25
"""How much the edge's position counts against the whole spectrum."""
NOISE_FLOOR = 1e-3
"""No point is trusted beyond this, in edge steps: energies repeat no better."""
MODESTY = 1.5
"""The process is this much surer than it should be."""
GRID = 200
"""Points that the error is integrated over."""
EDGE_HALF_WIDTH, EDGE_STEP = 4.0, 0.25
"""eV: where the steepest point is looked for, about where it is expected."""
EDGE_SMOOTHING = 0.35
"""Half width (eV) of the Lorentzian that smooths the slope there, about what xraylarch takes between 2 and 13 keV."""
DRAWS = 128


@dataclass(frozen=True, slots=True)
class Recovered:
    """Hold a recovered spectrum: `energy` (m,) eV, `mu` (m,) expected and its `std` (m,), normalized.

    `expected_rmse`: the error expected over these energies. `edge` ± `edge_std`: where mu rises steepest, eV.
    """

    energy: Array
    mu: Array
    std: Array
    expected_rmse: float
    edge: float
    edge_std: float


def recover(absorption: Absorption, grid: Array) -> Recovered:
    """Recover the normalized spectrum on `grid` (m,) eV from normalized points, in any order.

    Raises SpectrumError when fewer than 6 points weigh something.
    """
    process = fit(absorption)
    explained = process.explained(grid)
    variance = np.maximum(process.variance(grid) - (explained**2).sum(axis=0), 0.0)
    edge = _Edge.of(process, grid[0], grid[-1])
    std = MODESTY * np.sqrt(variance)
    rmse = float(np.sqrt(np.mean(std**2)))
    return Recovered(grid, process.mean(grid, explained), std, rmse, edge.position, MODESTY * edge.std)


def next_energies(absorption: Absorption, candidates: Array, e0: float, count: int) -> Array:
    """Choose up to `count` of the `candidates` (m,) eV to measure next, increasing.

    They are those that bring down most what is uncertain of the whole spectrum between the lowest and the highest candidate and
    of the edge's position, each by how far it is from what is to be reached. Before there are points enough to know the
    edge, they are spread about `e0` (eV), the tabulated edge.
    """
    candidates = np.unique(candidates)
    measured = absorption.energy[absorption.usable]
    if len(measured) < FEWEST:
        return _scout(measured, candidates, e0, count)
    process = fit(absorption)
    noise = float(np.median(np.maximum(absorption.variance[absorption.usable], NOISE_FLOOR**2)))
    grid = np.linspace(candidates[0], candidates[-1], GRID)
    edge = _Edge.of(process, grid[0], grid[-1])
    every = np.concatenate([grid, edge.energy, candidates])
    explained = process.explained(every)
    below, ahead = slice(0, GRID), slice(GRID + len(edge.energy), None)
    shared = process.covariance(every[: ahead.start], candidates) - explained[:, : ahead.start].T @ explained[:, ahead]
    left = process.variance(candidates) - (explained[:, ahead] ** 2).sum(axis=0)
    uncertain = process.variance(grid) - (explained[:, below] ** 2).sum(axis=0)
    at_edge = slice(GRID, ahead.start)
    chosen: list[int] = []
    for _ in range(min(count, len(candidates))):
        score = _score(shared[below], uncertain, shared[at_edge], edge, left + noise)
        score[chosen] = -np.inf
        best = int(score.argmax())
        chosen.append(best)
        column = process.covariance(every, candidates[[best]])[:, 0] - explained.T @ explained[:, ahead.start + best]
        column /= np.sqrt(max(left[best], 0.0) + noise)
        explained = np.vstack([explained, column])
        shared -= np.outer(column[: ahead.start], column[ahead])
        left = left - column[ahead] ** 2
        uncertain = uncertain - column[below] ** 2
        edge = edge.after(column[at_edge])
    return candidates[np.sort(chosen)]


def _score(shared: Array, uncertain: Array, near_edge: Array, edge: "_Edge", left: Array) -> Array:
    """Return what each candidate takes off the two errors, in units of their goals, weighted by how far they are off."""
    off, edge_off = float(uncertain.mean()) / GOAL_RMSE**2, edge.std**2 / GOAL_EDGE**2
    spectrum = (shared**2).mean(axis=0) / GOAL_RMSE**2 * off
    position = (edge.slope @ near_edge) ** 2 / GOAL_EDGE**2 * min(edge_off, 4 * off)
    return (spectrum + EDGE_SHARE * position) / left


def fit(absorption: Absorption) -> Process:
    """Fit the process to normalized points; raises SpectrumError when fewer than 6 of them weigh something."""
    usable = absorption.usable
    if usable.sum() < FEWEST:
        raise SpectrumError(f"{usable.sum()} usable points are too few to recover a spectrum, at least {FEWEST} are needed")
    order = np.argsort(absorption.energy[usable])
    energy, mu, variance = (values[usable][order] for values in (absorption.energy, absorption.mu, absorption.variance))
    return Process.fit(energy, mu, np.maximum(variance, NOISE_FLOOR**2))


def _scout(measured: Array, candidates: Array, e0: float, count: int) -> Array:
    wanted = np.clip(e0 + np.array(SCOUT), candidates[0], candidates[-1])
    apart = np.abs(wanted[:, None] - np.append(measured, np.inf)).min(axis=1)
    missing = wanted[apart > SCOUTED]
    nearest = np.abs(candidates - missing[:, None]).argmin(axis=1)
    return candidates[np.unique(nearest)][:count]


@dataclass(frozen=True, slots=True)
class _Edge:
    """Hold the steepest point's position and std (eV), and how it depends on mu at `energy` (k,): `slope` (k,) eV."""

    energy: Array
    mean: Array
    covariance: Array
    position: float
    std: float
    slope: Array

    @classmethod
    def of(cls, process: Process, low: float, high: float) -> "_Edge":
        coarse = np.arange(low, high, EDGE_STEP)
        steepest = coarse[np.gradient(process.mean(coarse, process.explained(coarse))).argmax()]
        energy = np.arange(steepest - EDGE_HALF_WIDTH, steepest + EDGE_HALF_WIDTH + EDGE_STEP / 2, EDGE_STEP)
        explained = process.explained(energy)
        covariance = process.covariance(energy, energy) - explained.T @ explained
        return cls._drawn(energy, process.mean(energy, explained), covariance)

    def after(self, column: Array) -> "_Edge":
        """Return it once a point is measured whose covariance with mu here, over its standard deviation, is `column` (k,)."""
        return self._drawn(self.energy, self.mean, self.covariance - np.outer(column, column))

    @classmethod
    def _drawn(cls, energy: Array, mean: Array, covariance: Array) -> "_Edge":
        size, axes = np.linalg.eigh(covariance)
        kept = size > 1e-9 * size[-1]
        root = np.sqrt(size[kept])
        draws = DRAWN[:, : kept.sum()]
        positions = steepest(energy, mean + draws @ (axes[:, kept] * root).T)
        along = (positions - positions.mean()) @ (draws - draws.mean(axis=0)) / DRAWS
        position = float(steepest(energy, mean[None])[0])
        return cls(energy, mean, covariance, position, float(positions.std()), axes[:, kept] @ (along / root))


def _rise() -> Array:
    """Return what makes of mu (k,) about the edge its slope, smoothed as xraylarch smooths it, (k, l)."""
    k = round(2 * EDGE_HALF_WIDTH / EDGE_STEP) + 1
    from_to = np.subtract.outer(np.arange(k), np.arange(k)) * EDGE_STEP
    bell = 1 / (1 + (from_to / EDGE_SMOOTHING) ** 2)
    return np.gradient(np.eye(k), axis=1) @ (bell / bell.sum(axis=0))


RISE: Array = _rise()

DRAWN: Array = np.asarray(norm.ppf(qmc.Sobol(64, rng=0).random(DRAWS)))
"""Normal draws, the same each time: a decision can be replayed."""


def steepest(energy: Array, mu: Array) -> Array:
    """Find where each of the curves mu (c, k) on an even grid of energies (k,) rises fastest, (c,) eV."""
    rise = mu @ RISE
    top = np.clip(rise.argmax(axis=1), 1, len(energy) - 2)[:, None]
    before, at, after = (np.take_along_axis(rise, top + step, axis=1)[:, 0] for step in (-1, 0, 1))
    bend = np.minimum(before - 2 * at + after, -1e-12)
    return energy[top[:, 0]] + 0.5 * (energy[1] - energy[0]) * np.clip((before - after) / bend, -1, 1)
