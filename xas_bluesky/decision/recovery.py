"""Recovery of a whole spectrum from few points: what it looks like, how sure that is, and where to measure next.

A Gaussian process that was learned from measured spectra, and beside it a plain interpolation (PCHIP). Where the two disagree,
between two points, the process is less sure than it says: such intervals draw points, as in a scan that halves the interval
of the largest error.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from xas_bluesky.decision.edge_position import EdgePosition
from xas_bluesky.decision.scan_request import SAME_POINT
from xas_bluesky.decision.spectrum_prior import Process
from xas_bluesky.errors import SpectrumError
from xas_bluesky.spectra import Absorption, Array

FEWEST = 6
"""Fewer points tell nothing of the edge."""
SCOUT = (-np.inf, -10.0, -5.0, 0.0, 5.0, 10.0, 15.0, 20.0, 30.0, np.inf)
"""eV from the tabulated edge: what is measured before anything is known. Measured edges lie 3 eV below to 20 eV above."""
SCOUTED = 2.5
"""A point as near as this (eV) does for one of the scout's."""
GOAL_RMSE, GOAL_EDGE = 0.005, 0.1
"""What is to be reached: the error of mu, in edge steps, and of the edge's position, in eV."""
EDGE_SHARE = 0.15
"""How much the edge's position counts against the whole spectrum."""
NOISE_FLOOR = 1e-3
"""No point is trusted beyond this, in edge steps: a fine structure below it is not followed."""
PLAIN_SHARE = 0.2
"""Share of the plain interpolation in the recovered spectrum: the process alone swings too far between points."""
DOUBT = 0.2
"""Share of the squared disagreement of the two that counts as variance."""
MODESTY = 1.2
"""Errors are this much larger than the variance says (tuned spectra of benchmarks/whole_spectrum.py)."""
GRID = 200
"""Points that the error is integrated over."""


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
    """Recover the normalized spectrum on `grid` (m,) eV, increasing, from normalized points, in any order.

    Raises SpectrumError when fewer than 6 energies are measured.
    """
    belief = Belief.from_points(absorption)
    explained = belief.process.explained(grid)
    variance = belief.process.variance(grid) - (explained**2).sum(axis=0)
    mu = belief.mean(grid, explained)
    std = MODESTY * belief.doubt(grid) * np.sqrt(np.maximum(variance, 0.0))
    edge = belief.edge(grid)
    return Recovered(grid, mu, std, float(np.sqrt(np.mean(std**2))), edge.position, MODESTY * edge.std)


def next_energies(absorption: Absorption, candidates: Array, e0: float, count: int) -> Array:
    """Choose up to `count` of the `candidates` (m,) eV to measure next, increasing; none that is measured already.

    They are those that bring down most what is uncertain of the whole spectrum between the lowest and the highest candidate
    and of the edge's position, each the more the farther it is from what is to be reached. Before there are points enough
    to know the edge, they are spread about `e0` (eV), the tabulated edge.
    """
    candidates = np.unique(candidates)
    measured = absorption.energy[absorption.usable]
    new = np.abs(candidates[:, None] - np.append(measured, np.inf)).min(axis=1) > SAME_POINT
    if len(measured) < FEWEST:
        return _scout(measured, candidates, candidates[new], e0, count)
    return _Design(Belief.from_points(absorption), candidates).choose(count, new)


@dataclass(frozen=True, slots=True)
class Belief:
    """Hold what the points `energy` (n,) eV, increasing, and `mu` (n,) tell: the process and the plain interpolation.

    `excess` (n - 1,): by how much errors between two points exceed what the process says.
    """

    process: Process
    energy: Array
    mu: Array
    excess: Array

    @classmethod
    def from_points(cls, absorption: Absorption) -> Self:
        """Merge repeated points and fit the process; raises SpectrumError when fewer than 6 are left."""
        usable = absorption.usable
        weight = 1 / np.maximum(absorption.variance[usable], NOISE_FLOOR**2)
        _, place = np.unique(np.round(absorption.energy[usable] / SAME_POINT), return_inverse=True)
        total = np.bincount(place, weight)
        if len(total) < FEWEST:
            raise SpectrumError(f"{len(total)} measured energies are too few to recover a spectrum, measure at least {FEWEST}")
        energy, mu = (np.bincount(place, weight * given[usable]) / total for given in (absorption.energy, absorption.mu))
        process = Process.fit(energy, mu, np.maximum(1 / total, NOISE_FLOOR**2))
        grid = np.linspace(energy[0], energy[-1], GRID)
        explained = process.explained(grid)
        variance = np.maximum(process.variance(grid) - (explained**2).sum(axis=0), 0.0)
        squared = _disagreement(energy, mu, grid, process.mean(grid, explained)) ** 2
        place, size = _interval(energy, grid), len(energy) - 1
        ratio = np.bincount(place, squared, size) / np.maximum(np.bincount(place, variance, size), 1e-12)
        return cls(process, energy, mu, np.sqrt(1 + DOUBT * ratio))

    def mean(self, energy: Array, explained: Array) -> Array:
        """Return the expected mu (m,); `explained` is the process's at these energies (m,) eV."""
        expected = self.process.mean(energy, explained)
        return expected + PLAIN_SHARE * _disagreement(self.energy, self.mu, energy, expected)

    def doubt(self, energy: Array) -> Array:
        """Return by how much (m,) errors at `energy` (m,) eV exceed what the process says."""
        return self.excess[_interval(self.energy, energy)]

    def edge(self, grid: Array) -> EdgePosition:
        """Find the edge between the ends of `grid` (m,) eV."""
        return EdgePosition.find(self.process, float(grid[0]), float(grid[-1]), self.doubt)


def _disagreement(measured: Array, mu: Array, energy: Array, expected: Array) -> Array:
    plain = PchipInterpolator(measured, mu, extrapolate=False)(energy)
    return np.where(np.isnan(plain), 0.0, plain - expected)


def _interval(measured: Array, energy: Array) -> NDArray[np.intp]:
    return np.clip(np.searchsorted(measured, energy, side="right") - 1, 0, len(measured) - 2)


class _Design:
    """Choose points one after the other, each as if those before it were measured.

    Rows of `shared`: covariance of each candidate (m,) with mu on the grid, then with mu about the edge.
    """

    def __init__(self, belief: Belief, candidates: Array) -> None:
        self.candidates, self.process = candidates, belief.process
        grid = np.linspace(candidates[0], candidates[-1], GRID)
        self.edge = belief.edge(grid)
        self.energy = np.concatenate([grid, self.edge.energy, candidates])
        self.first = GRID + len(self.edge.energy)
        self.doubt = belief.doubt(self.energy)
        self.explained = self.process.explained(self.energy)
        prior = self.process.covariance(self.energy[: self.first], candidates)
        shared = prior - self.explained[:, : self.first].T @ self.explained[:, self.first :]
        self.shared = shared * np.outer(self.doubt[: self.first], self.doubt[self.first :])
        left = self.process.variance(self.energy) - (self.explained**2).sum(axis=0)
        self.left = self.doubt**2 * np.maximum(left, 0.0)

    def choose(self, count: int, allowed: Array) -> Array:
        """Return up to `count` candidates among the `allowed` (m,), increasing."""
        chosen: list[int] = []
        for _ in range(min(count, int(allowed.sum()))):
            score = np.where(allowed, self._score(), -np.inf)
            score[chosen] = -np.inf
            chosen.append(int(score.argmax()))
            self._measure(chosen[-1])
        return self.candidates[np.sort(np.array(chosen, dtype=np.int64))]

    def _score(self) -> Array:
        """Return what each candidate takes off the two errors, in units of their goals, weighted by how far they are off."""
        off, edge_off = float(self.left[:GRID].mean()) / GOAL_RMSE**2, self.edge.std**2 / GOAL_EDGE**2
        spectrum = (self.shared[:GRID] ** 2).mean(axis=0) / GOAL_RMSE**2 * off
        position = (self.edge.slope @ self.shared[GRID:]) ** 2 / GOAL_EDGE**2 * min(edge_off, 4 * off)
        return (spectrum + EDGE_SHARE * position) / (self.left[self.first :] + NOISE_FLOOR**2)

    def _measure(self, candidate: int) -> None:
        place = self.first + candidate
        column = self.process.covariance(self.energy, self.candidates[[candidate]])[:, 0]
        column -= self.explained.T @ self.explained[:, place]
        column /= np.sqrt(max(column[place], 0.0) + NOISE_FLOOR**2)
        self.explained = np.vstack([self.explained, column])
        column = column * self.doubt
        self.shared -= np.outer(column[: self.first], column[self.first :])
        self.left = np.maximum(self.left - column**2, 0.0)
        self.edge = self.edge.after(column[GRID : self.first])


def _scout(measured: Array, candidates: Array, new: Array, e0: float, count: int) -> Array:
    wanted = np.clip(e0 + np.array(SCOUT), candidates[0], candidates[-1])
    missing = wanted[np.abs(wanted[:, None] - np.append(measured, np.inf)).min(axis=1) > SCOUTED]
    if len(missing) == 0 or len(new) == 0:
        missing = candidates
    nearest = new[np.unique(np.abs(new - missing[:, None]).argmin(axis=1))] if len(new) else new
    return nearest[np.unique(np.linspace(0, len(nearest) - 1, min(count, len(nearest))).round().astype(int))]
