"""Linear-Gaussian regressions, many at once, that take points in and out one by one."""

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.spectra import Array

BLOCK = 64
"""Regressions treated at once: what that takes fits in a processor's cache."""


class Regressions:
    """Accumulate regressions: residual = features · w + noise, the r weights w being unit normal beforehand.

    `products` (h, r + 1, r + 1): those of the features, and last the residual, over the noise's variance, from the unit matrix
    on. What points add is a sum, so that a point costs the same however many there are, and can be taken out again.
    """

    def __init__(self, count: int, rank: int) -> None:
        self._room = np.tile(np.eye(rank + 1), (count, 1, 1))
        self.products = self._room

    def add(self, columns: Array, variance: Array, first: int = 0) -> None:
        """Take points into the regressions from `first` on; negative variances take them out.

        Features and last the residual (k, n, r + 1), noise variances (n,).
        """
        self.products[first : first + len(columns)] += np.swapaxes(columns, 1, 2) @ (columns / variance[:, None])

    def keep(self, chosen: NDArray[np.int64], new: int) -> None:
        """Keep only the chosen ones, in increasing order, and begin new ones behind them; the same memory serves again."""
        kept, count = len(chosen), len(chosen) + new
        before = self.products
        if count > len(self._room):
            self._room = np.empty((count, *before.shape[1:]))
        self.products = self._room[:count]
        for first in range(0, kept, BLOCK):  # forward: nothing is overwritten before it has moved
            block = slice(first, min(first + BLOCK, kept))
            self.products[block] = before[chosen[block]]
        self.products[kept:] = np.eye(before.shape[-1])

    def log_evidence(self, begin: int = 0) -> Array:
        """Return the log evidence (h,) of those from `begin` on, the weights marginalized.

        It is without the noise's own −½ Σ log 2πv, common to all.
        """
        found = np.empty(len(self.products) - begin)
        for first in range(0, len(found), BLOCK):
            block = self.products[begin + first : begin + first + BLOCK]
            root = np.diagonal(np.linalg.cholesky(block), axis1=1, axis2=2)
            # the last one is of what the features leave of the residual, and of the one that the products began with
            found[first : first + BLOCK] = -0.5 * (root[:, -1] ** 2 - 1) - np.log(root[:, :-1]).sum(axis=-1)
        return found

    def weights(self, chosen: NDArray[np.int64]) -> tuple[Array, Array]:
        """Return the posterior center (k, r) and covariance (k, r, r) of the chosen ones' weights."""
        products = self.products[chosen]
        covariance = np.linalg.inv(products[:, :-1, :-1]).astype(np.float64)
        return (covariance @ products[:, :-1, -1:])[..., 0], covariance


def mixture_moments(share: Array, mean: Array, features: Array) -> tuple[Array, Array]:
    """Return mean (n,) and covariance (n, n) of a mixture, shares (h,), of mean (h, n) + features (h, n, r) · unit normal."""
    center = share @ mean
    off = (mean - center) * np.sqrt(share)[:, None]
    wide = np.ascontiguousarray(features.transpose(1, 0, 2))
    wide *= np.sqrt(share)[:, None]
    wide = wide.reshape(mean.shape[1], -1)
    return center, wide @ wide.T + off.T @ off


def regress(residual: Array, features: Array, variance: Array) -> tuple[Array, Array, Array]:
    """Return the log evidence (h,) of residuals (h, n), and the features' posterior center (h, r), covariance (h, r, r)."""
    regressions = Regressions(len(features), features.shape[-1])
    regressions.add(np.concatenate([features, residual[..., None]], axis=-1), variance)
    noise = 0.5 * np.log(2 * np.pi * variance).sum()
    return regressions.log_evidence() - noise, *regressions.weights(np.arange(len(features)))
