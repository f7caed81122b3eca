"""How far a prediction may lie from what theory would compute: fitted to structures that the networks had not seen."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from xas_bluesky.models.scaling import Sites
from xas_bluesky.spectra import Array

NEIGHBOURS = 5
"""The distance from the training set is the mean one to this many of its sites."""


@dataclass(frozen=True)  # without slots, for the tree that is made once
class ErrorModel:
    """Hold the Gaussian of errors at one edge, in atomic edge jumps, of sites and of structures.

    `projection` (trunk, q): from the first network's latent states to the space where `known` (n, q) are training sites; a
    structure whose sites are on average farther than `far` from them is unlike all. `size` (SIGNALS,): weights of 1, noise,
    log disagreement and log distance in the logarithm of a site's error (root mean square over energies). `share`: part of
    its variance with the shape of the networks' disagreement; the other part has the shape of `residual` (r, m) and,
    independent at each energy, `rest` (m,). `together`: part of the variance that the sites of a structure have in common.
    """

    projection: Array
    known: Array
    far: float
    size: Array
    share: float
    residual: Array
    rest: Array
    together: float

    def distance(self, latent: Array) -> Array:
        """Return the distances (k,) of sites from the training set, by their latent states (k, trunk)."""
        count = min(NEIGHBOURS, len(self.known))
        found: Any = self._tree.query(latent @ self.projection, k=count)
        return found[0].reshape(len(latent), count).mean(axis=1)

    @cached_property
    def _tree(self) -> KDTree:
        return KDTree(self.known)

    def expected(self, sites: Sites, distance: Array) -> Array:
        """Return the expected error (k,) of sites: root mean square over energies."""
        return np.exp(signals(sites, distance) @ self.size)

    def of_sites(self, sites: Sites, distance: Array) -> tuple[Array, Array]:
        """Return the errors' factors (k, r, m) and, independent at each energy, standard deviations (k, m)."""
        size = self.expected(sites, distance)
        shape = sites.disagreement / disagreement(sites)[:, None, None]
        common = np.broadcast_to(self.residual, (len(size), *self.residual.shape))
        factors = np.concatenate([np.sqrt(self.share) * shape, np.sqrt(1 - self.share) * common], axis=1)
        return size[:, None, None] * factors, size[:, None] * np.sqrt(1 - self.share) * self.rest

    def shared(self, count: Array) -> Array:
        """Return by how much the errors' factors of the mean over `count` (n,) sites are below the mean of theirs."""
        return np.sqrt(self.together + (1 - self.together) / count)


SIGNALS = 4


def disagreement(sites: Sites) -> Array:
    """Return how far (k,) the networks are apart: root mean square over energies."""
    return np.sqrt((sites.disagreement**2).sum(axis=1).mean(axis=-1))


def signals(sites: Sites, distance: Array) -> Array:
    """Return what the error of each site is read from (k, SIGNALS)."""
    return np.column_stack([np.ones(len(distance)), sites.noise, np.log(disagreement(sites)), np.log(distance + 1e-3)])
