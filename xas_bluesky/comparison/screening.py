"""A first look at every candidate at once, so that only those that may explain the spectrum are looked at closely.

All candidates share one covariance here, that of a sample of them, and their spectra are combinations of a few: then the
evidence of each is a quadratic form in its coordinates, however many points there are.
"""

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.comparison.hypotheses import Hypotheses
from xas_bluesky.comparison.regression import Regressions
from xas_bluesky.comparison.tables import SCALE_SD, interpolated, leading
from xas_bluesky.spectra import Array

COORDINATES = 24
"""Spectra that candidates' spectra are combined of, at most."""
SHARED = 40
"""Features of the shared covariance, at most, beside the baseline's."""
SAMPLED = 32
"""Candidates that the shared covariance is taken from, evenly spread over the list."""
OF_EACH = 20
"""Features of each of them that count."""
PROJECTED = 2000
"""Candidates that the combined spectra are taken from, as evenly spread."""


class Screen:
    """Weigh all candidates of `hypotheses` in all shapes and shifts, as if they erred alike.

    Each shape and shift is one regression on the combined spectra and the shared features.
    """

    def __init__(self, hypotheses: Hypotheses) -> None:
        self._hypotheses = hypotheses
        mean = hypotheses.tables.spectra.mean
        center = _spread_over(mean, PROJECTED).mean(axis=0)
        off = _spread_over(mean, PROJECTED) - center
        _, sizes, directions = np.linalg.svd(off, full_matrices=False)
        self._count = max(int(np.count_nonzero(sizes[:COORDINATES] > 1e-6 * (1 + sizes[0]))), 1)
        combined = directions[: self._count]
        self._coordinates = ((mean - center) @ combined.T).astype(np.float32)
        self._left_out = float((off - off @ combined.T @ combined).var(axis=0).max())
        self._store = self._tabulate(center, combined)
        _, self._shapes, self._shifts = hypotheses.size
        self.clear()

    def clear(self) -> None:
        """Forget all points."""
        self._regressions = Regressions.empty(self._shapes * self._shifts, self._store.shape[-1] + 1)
        self._regressions.precision[:, : self._count, : self._count] = 0.0  # coordinates are given, not drawn

    def add(self, energy: Array, mu: Array, variance: Array) -> None:
        """Take in cells (n,) with the variances of their counting and fine error; negative variances take them out."""
        shape, shift = np.divmod(np.arange(self._shapes * self._shifts), self._shifts)
        hypotheses = self._hypotheses
        values = hypotheses.tables.look_up(self._store, np.zeros_like(shape), shape, hypotheses.shifts[shift], energy)
        baseline = np.broadcast_to(hypotheses.baseline(energy), (*values.shape[:2], 2))
        features = np.concatenate([values[..., 1:], baseline], axis=-1)
        self._regressions.add(mu - values[..., 0], features, variance + np.sign(variance) * self._left_out)

    def log_evidence(self) -> NDArray[np.float32]:
        """Return each candidate's log evidence (n, shapes, shifts), up to what all have in common; float32."""
        precision, pull, count = self._regressions.precision, self._regressions.pull, self._count
        shared = Regressions(precision[:, count:, count:], pull[:, count:], self._regressions.misfit)
        root = np.linalg.cholesky(shared.precision)
        across = np.linalg.solve(root, precision[:, count:, :count])
        towards = np.linalg.solve(root, shared.pull[..., None])
        curvature = precision[:, :count, :count] - np.swapaxes(across, 1, 2) @ across
        slope = pull[:, :count] - (np.swapaxes(across, 1, 2) @ towards)[..., 0]
        found = np.empty((len(self._coordinates), len(precision)), dtype=np.float32)
        for place, (bent, leaning) in enumerate(zip(curvature.astype(np.float32), slope.astype(np.float32), strict=True)):
            found[:, place] = ((leaning - 0.5 * self._coordinates @ bent) * self._coordinates).sum(axis=1)
        found += shared.log_evidence().astype(np.float32)
        return found.reshape(-1, self._shapes, self._shifts)

    def _tabulate(self, center: Array, combined: Array) -> Array:
        """Return the mean, the combined spectra and the shared features on the grid: (1, shapes, m, 1 + r)."""
        tables = self._hypotheses.tables
        sampled = _spread_over(np.arange(len(tables.spectra), dtype=np.float64), SAMPLED)
        own = [leading(tables.features(int(member))[1], OF_EACH) for member in sampled]
        pooled = np.concatenate(own) / np.sqrt(len(own))
        shared = leading(pooled, SHARED)
        self._left_out += float(((pooled**2).sum(axis=0) - (shared**2).sum(axis=0)).max())
        changes = np.concatenate([interpolated(tables.grid, tables.spectra.energy, combined), shared])
        rows: list[Array] = []
        for seen, changed, loose in tables.distorted(tables.continued(center), changes):
            changed[self._count :] *= loose
            rows.append(np.column_stack([seen, changed.T, SCALE_SD * seen]))
        return np.array(rows)[None]


def _spread_over(values: Array, count: int) -> Array:
    """Return `count` of the values (or all), evenly spread over their list."""
    return values[np.unique(np.linspace(0, len(values) - 1, count).astype(np.int64))]
