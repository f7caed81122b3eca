"""Repeats of a scan on common energies and on one scale."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.reduction.edge_energy import MIN_STEP, ROUNDING
from xas_bluesky.spectra import Absorption, Array

MIN_POINTS = 10
"""Fewer do not tell a scan's scale, offset and slope."""
MIN_SHARED = 0.5
"""Share of a scan's variance (a line left out) that another has to explain for its scale to be told."""
SAME_ENERGY = 0.75
"""A point farther than this share of its own scan's step from all common energies becomes one of them."""
ROUNDS = 10

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Points:
    """Hold all N points of k repeats at n common energies.

    `grid` (n,) eV, increasing. Of each point (N,): `scan` (0 to k-1), `cell` (which common energy it counts for),
    `distance` (eV) from there, `mu`, and `weight`, its inverse variance.
    """

    grid: Array
    scan: Indices
    cell: Indices
    distance: Array
    mu: Array
    weight: Array

    @property
    def k(self) -> int:
        """Count the repeats."""
        return int(self.scan[-1]) + 1

    def total(self, values: Array) -> Array:
        """Sum over the points at each energy, (n,)."""
        return np.bincount(self.cell, values, len(self.grid)).astype(np.float64)

    def by_scan(self, values: Array) -> Array:
        """Sum over the points of each repeat at each energy, (k, n)."""
        n = len(self.grid)
        return np.bincount(self.scan * n + self.cell, values, self.k * n).astype(np.float64).reshape(self.k, n)

    def mean(self) -> Array:
        """Average over the points at each energy, (n,); where none weighs anything, between its neighbours."""
        weight = self.total(self.weight)
        known = weight > 0
        return np.interp(self.grid, self.grid[known], self.total(self.weight * self.mu)[known] / weight[known])


def collect(scans: Sequence[Absorption], shifts: Array) -> Points:
    """Put repeats on common energies after their shifts: those of the first, and others' where these are finer."""
    grid = common_energies(scans, shifts)
    energy = np.concatenate([scan.energy + shift for scan, shift in zip(scans, shifts, strict=True)])
    cell = np.searchsorted((grid[1:] + grid[:-1]) / 2, energy)
    return Points(
        grid,
        np.repeat(np.arange(len(scans)), [len(scan) for scan in scans]),
        cell,
        energy - grid[cell],
        np.concatenate([scan.mu for scan in scans]),
        np.concatenate([1 / scan.variance for scan in scans]),
    )


def common_energies(scans: Sequence[Absorption], shifts: Array) -> Array:
    """Return the energies of the first repeat and those points of the others that lie between or beyond them, (n,)."""
    finest_first = sorted(range(1, len(scans)), key=lambda i: (-len(scans[i]), *scans[i].energy))
    grid = distinct(scans[0].energy + shifts[0])
    for i in finest_first:
        energy = distinct(scans[i].energy[scans[i].usable] + shifts[i])
        gaps = np.pad(np.diff(energy), 1, mode="edge")
        step = np.sqrt(gaps[1:] * gaps[:-1])
        distance = np.abs(energy - grid[np.searchsorted((grid[1:] + grid[:-1]) / 2, energy)])
        grid = np.sort(np.concatenate([grid, energy[distance > SAME_ENERGY * step]]))
    return grid


def put_on_one_scale(points: Points, anchor: int) -> tuple[Points, list[int]]:
    """Bring all repeats to the scale, offset and slope of the first, every point moved to its energy along the local shape.

    Also returns which repeats share too little structure with `anchor`, the one that tells most, for a scale to be told:
    they keep theirs.
    """
    energy = points.grid[points.cell] + points.distance
    along = (2 * energy - points.grid[0] - points.grid[-1]) / np.ptp(points.grid)
    weighs = points.weight > 0
    step_to = _local_shape(points)
    alone = replace(points, weight=np.where(points.scan == anchor, points.weight, 0.0))
    template, shared = alone.mean(), alone.total(alone.weight)[points.cell] > 0
    scales = np.tile([1.0, 0.0, 0.0], (points.k, 1))
    told = np.zeros(points.k, dtype=bool)

    def fit(i: int) -> None:
        used = (points.scan == i) & weighs & shared
        if used.sum() >= MIN_POINTS:
            there = template[points.cell[used]] + step_to(template)[used]
            scales[i], told[i] = _fit(points.mu[used], there, along[used], points.weight[used])

    for i in range(points.k):
        fit(i)
    untold = [int(i) for i in np.flatnonzero(~told) if i != anchor]
    shared = ((points.by_scan(points.weight) > 0).sum(axis=0) > 1)[points.cell]
    moved = points
    for _ in range(ROUNDS):
        scales[:, 1:] -= np.outer(scales[:, 0] / scales[0, 0], scales[0, 1:])
        scales[:, 0] /= scales[0, 0]
        scale, offset, slope = scales[points.scan].T
        moved = replace(points, mu=(points.mu - offset - slope * along) / scale, weight=points.weight * scale**2)
        moved = replace(moved, mu=moved.mu - step_to(moved.mean()))
        template = moved.mean()
        for i in set(range(points.k)) - set(untold):
            fit(i)
    return moved, untold


def _fit(mu: Array, template: Array, along: Array, weight: Array) -> tuple[list[float], bool]:
    """Fit scale, offset and slope that turn `template` into `mu`; only an offset where it explains too little of it."""
    root = np.sqrt(weight)
    terms = np.stack([template, np.ones_like(along), along], axis=1) * root[:, None]
    found = np.linalg.lstsq(terms, mu * root)[0]
    left = float(((mu * root - terms @ found) ** 2).sum())
    straight = float(((mu * root - terms[:, 1:] @ np.linalg.lstsq(terms[:, 1:], mu * root)[0]) ** 2).sum())
    bent = straight > float(((ROUNDING * mu * root) ** 2).sum())
    if bent and found[0] > 0 and left < (1 - MIN_SHARED) * straight:
        return list(found), True
    return [1.0, float(np.average(mu - template, weights=weight)), 0.0], False


def _local_shape(points: Points) -> Callable[[Array], Array]:
    """Return what turns values on the grid into their change from there to each point, by a cubic through five of them."""
    n = len(points.grid)
    window = np.clip(np.arange(n)[:, None] + np.arange(-2, 3), 0, n - 1)
    x = points.grid[window] - points.grid[:, None]
    unit = np.abs(x).max(axis=1)
    share = np.linalg.pinv((x / unit[:, None])[..., None] ** np.arange(4))
    step = points.distance / unit[points.cell]

    def change(values: Array) -> Array:
        _, first, second, third = np.einsum("nij,nj->in", share, values[window])[:, points.cell]
        return step * (first + step * (second + step * third))

    return change


def distinct(energy: Array) -> Array:
    """Return the different energies of `energy`, increasing."""
    energy = np.sort(energy)
    return energy[np.diff(energy, prepend=-np.inf) >= MIN_STEP]
