"""Linear-Gaussian regressions, many at once, that take points in and out one by one."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.spectra import Array


@dataclass(slots=True)
class Regressions:
    """Accumulate h regressions: residual = features · w + noise, the r weights w being unit normal beforehand.

    `precision` (h, r, r) and `pull` (h, r) of the weights; `misfit` (h,): squared residuals over the noise's variance. What
    points add is a sum, so that a point costs the same however many there are, and can be taken out again.
    """

    precision: Array
    pull: Array
    misfit: Array

    @classmethod
    def empty(cls, count: int, rank: int) -> Self:
        """Return regressions without points."""
        return cls(np.tile(np.eye(rank), (count, 1, 1)), np.zeros((count, rank)), np.zeros(count))

    def add(self, residual: Array, features: Array, variance: Array) -> None:
        """Take in residuals (h, n) with features (h, n, r) and noise variances (n,); negative variances take points out."""
        scaled = np.swapaxes(features, 1, 2) / variance
        self.precision += scaled @ features
        self.pull += (scaled @ residual[..., None])[..., 0]
        self.misfit += residual**2 @ (1 / variance)

    def select(self, chosen: NDArray[np.int64]) -> Self:
        """Return some of the regressions."""
        return type(self)(self.precision[chosen], self.pull[chosen], self.misfit[chosen])

    def join(self, other: Self) -> Self:
        """Return these regressions followed by others."""
        precision = np.concatenate([self.precision, other.precision])
        return type(self)(precision, np.concatenate([self.pull, other.pull]), np.concatenate([self.misfit, other.misfit]))

    def log_evidence(self) -> Array:
        """Return the log evidence (h,), the weights marginalized; without the noise's own −½ Σ log 2πv, common to all."""
        root = np.linalg.cholesky(self.precision)
        half = np.linalg.solve(root, self.pull[..., None])[..., 0]
        log_determinant = 2 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=-1)
        return -0.5 * (self.misfit - (half**2).sum(axis=-1) + log_determinant)

    def weights(self) -> tuple[Array, Array]:
        """Return the weights' posterior center (h, r) and covariance (h, r, r)."""
        covariance = np.linalg.inv(self.precision).astype(np.float64)
        return (covariance @ self.pull[..., None])[..., 0], covariance


def mixture_moments(share: Array, mean: Array, features: Array) -> tuple[Array, Array]:
    """Return mean (n,) and covariance (n, n) of a mixture, shares (h,), of mean (h, n) + features (h, n, r) · unit normal."""
    center = share @ mean
    off = (mean - center) * np.sqrt(share)[:, None]
    wide = (features * np.sqrt(share)[:, None, None]).transpose(1, 0, 2).reshape(mean.shape[1], -1)
    return center, wide @ wide.T + off.T @ off


def regress(residual: Array, features: Array, variance: Array) -> tuple[Array, Array, Array]:
    """Return the log evidence (h,) of residuals (h, n), and the features' posterior center (h, r), covariance (h, r, r)."""
    regressions = Regressions.empty(len(features), features.shape[-1])
    regressions.add(residual, features, variance)
    noise = 0.5 * np.log(2 * np.pi * variance).sum()
    return regressions.log_evidence() - noise, *regressions.weights()
