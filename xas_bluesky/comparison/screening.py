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
        self._monomials = _monomials(((mean - center) @ combined.T).astype(np.float32))
        self._left_out = float((off - off @ combined.T @ combined).var(axis=0).max())
        self._store = self._tabulate(center, combined)
        _, self._shapes, self._shifts = hypotheses.size
        self._found = np.empty((len(mean), self._shapes * self._shifts), dtype=np.float32)
        self.clear()

    def clear(self) -> None:
        """Forget all points."""
        self._regressions = Regressions(self._shapes * self._shifts, self._store.shape[-1] + 1)

    def add(self, energy: Array, mu: Array, variance: Array) -> None:
        """Take in cells (n,) with the variances of their counting and fine error; negative variances take them out."""
        shape, shift = np.divmod(np.arange(self._shapes * self._shifts), self._shifts)
        hypotheses = self._hypotheses
        values = hypotheses.tables.look_up(self._store, np.zeros_like(shape), shape, hypotheses.shifts[shift], energy)
        baseline = np.broadcast_to(hypotheses.baseline(energy), (*values.shape[:2], 2))
        columns = np.concatenate([baseline, values[..., 1:], (mu - values[..., 0])[..., None]], axis=-1)
        self._regressions.add(columns, variance + np.sign(variance) * self._left_out)

    def log_weight(self) -> NDArray[np.float32]:
        """Return the log weights (n · shapes · shifts,) of candidates' hypotheses, up to what all have in common; float32.

        They are overwritten the next time: so much memory is slow to get.
        """
        given = self._count + 1
        root = np.linalg.cholesky(self._regressions.products)
        corner = root[:, -given:, -given:]
        # coordinates are given, not drawn: the one that products begin with is taken off
        left = corner @ np.swapaxes(corner, 1, 2) - np.eye(given)
        log_determinant = 2 * np.log(np.diagonal(root, axis1=1, axis2=2)[:, :-given]).sum(axis=-1)
        curvature, slope, misfit = left[:, :-1, :-1], left[:, :-1, -1], left[:, -1, -1]
        first, second = np.triu_indices(self._count)
        squares = curvature[:, first, second] * np.where(first == second, -0.5, -1.0)
        form = np.concatenate([-0.5 * (misfit + log_determinant)[:, None], slope, squares], axis=1)
        form *= self._hypotheses.gap.temper
        form[:, 0] += self._hypotheses.log_prior[: len(form)]  # every candidate has the prior of the first
        return np.matmul(self._monomials, form.T.astype(np.float32), out=self._found).reshape(-1)

    def _tabulate(self, center: Array, combined: Array) -> Array:
        """Return the mean, the shared features and the combined spectra on the grid: (1, shapes, m, 1 + r)."""
        tables = self._hypotheses.tables
        sampled = _spread_over(np.arange(len(tables.spectra), dtype=np.float64), SAMPLED)
        own = [leading(tables.features(int(member))[1], OF_EACH) for member in sampled]
        pooled = np.concatenate(own) / np.sqrt(len(own))
        shared = leading(pooled, SHARED)
        self._left_out += float(((pooled**2).sum(axis=0) - (shared**2).sum(axis=0)).max())
        changes = np.concatenate([shared, interpolated(tables.grid, tables.spectra.energy, combined)])
        rows: list[Array] = []
        for seen, changed, loose in tables.distorted(tables.continued(center), changes):
            changed[:SHARED] *= loose
            rows.append(np.column_stack([seen, SCALE_SD * seen, changed.T]))
        return np.array(rows)[None]


def _spread_over(values: Array, count: int) -> Array:
    """Return `count` of the values (or all), evenly spread over their list."""
    return values[np.unique(np.linspace(0, len(values) - 1, count).astype(np.int64))]


def _monomials(coordinates: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return one, the coordinates (n, k) and their products by pairs: a quadratic form is linear in them."""
    first, second = np.triu_indices(coordinates.shape[1])
    found = np.ones((len(coordinates), 1 + coordinates.shape[1] + len(first)), dtype=np.float32)
    found[:, 1 : 1 + coordinates.shape[1]] = coordinates
    np.multiply(coordinates[:, first], coordinates[:, second], out=found[:, 1 + coordinates.shape[1] :])
    return found
