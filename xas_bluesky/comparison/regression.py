"""Linear-Gaussian regressions, many at once, that take points in and out one by one."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.spectra import Array


@dataclass(slots=True)
class Regressions:
    """Accumulate h regressions: residual = features · w + noise, the r weights w being unit normal beforehand.

    `products` (h, r + 1, r + 1): those of the features, and last the residual, over the noise's variance, from the unit matrix
    on. What points add is a sum, so that a point costs the same however many there are, and can be taken out again.
    """

    products: Array

    @classmethod
    def empty(cls, count: int, rank: int) -> Self:
        """Return regressions without points."""
        return cls(np.tile(np.eye(rank + 1), (count, 1, 1)))

    def add(self, columns: Array, variance: Array) -> None:
        """Take in features and last the residual (h, n, r + 1), noise variances (n,); negative variances take points out."""
        self.products += np.swapaxes(columns, 1, 2) @ (columns / variance[:, None])

    def select(self, chosen: NDArray[np.int64], new: int = 0) -> Self:
        """Return some of the regressions, and after them new ones without points."""
        products = np.empty((len(chosen) + new, *self.products.shape[1:]))
        self.products.take(chosen, axis=0, out=products[: len(chosen)], mode="clip")
        products[len(chosen) :] = np.eye(products.shape[-1])
        return type(self)(products)

    def between(self, first: int, last: int) -> Self:
        """Return those from `first` to before `last`: the same ones, points taken in there are taken in here."""
        return type(self)(self.products[first:last])

    def log_evidence(self) -> Array:
        """Return the log evidence (h,), the weights marginalized; without the noise's own −½ Σ log 2πv, common to all."""
        root = np.diagonal(np.linalg.cholesky(self.products), axis1=1, axis2=2)
        # the last one is of what the features leave of the residual, and of the one that the products began with
        return -0.5 * (root[:, -1] ** 2 - 1) - np.log(root[:, :-1]).sum(axis=-1)

    def weights(self) -> tuple[Array, Array]:
        """Return the weights' posterior center (h, r) and covariance (h, r, r)."""
        covariance = np.linalg.inv(self.products[:, :-1, :-1]).astype(np.float64)
        return (covariance @ self.products[:, :-1, -1:])[..., 0], covariance


def mixture_moments(share: Array, mean: Array, features: Array) -> tuple[Array, Array]:
    """Return mean (n,) and covariance (n, n) of a mixture, shares (h,), of mean (h, n) + features (h, n, r) · unit normal."""
    center = share @ mean
    off = (mean - center) * np.sqrt(share)[:, None]
    wide = (features * np.sqrt(share)[:, None, None]).transpose(1, 0, 2).reshape(mean.shape[1], -1)
    return center, wide @ wide.T + off.T @ off


def regress(residual: Array, features: Array, variance: Array) -> tuple[Array, Array, Array]:
    """Return the log evidence (h,) of residuals (h, n), and the features' posterior center (h, r), covariance (h, r, r)."""
    regressions = Regressions.empty(len(features), features.shape[-1])
    regressions.add(np.concatenate([features, residual[..., None]], axis=-1), variance)
    noise = 0.5 * np.log(2 * np.pi * variance).sum()
    return regressions.log_evidence() - noise, *regressions.weights()
