"""Groups of candidates that their spectra cannot tell apart, whatever is measured."""

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from xas_bluesky.comparison.hypotheses import TELLING, Hypotheses
from xas_bluesky.spectra import Array

Groups = tuple[tuple[int, ...], ...]
"""Indices of candidates, by group."""
PROBES = 120
"""Energies that a complete scan has here, at most."""


class Grouping:
    """Group candidates whose expected log evidence ratio over a scan of `energy` (n,) eV stays below TELLING.

    Of the two candidates that may be true, the harder case counts. What noise-free scans of a candidate give is found once,
    and at one counting noise the rest is kept as long as a candidate is asked for.
    """

    def __init__(self, hypotheses: Hypotheses, energy: Array) -> None:
        self._hypotheses = hypotheses
        self._energy = energy
        self._foretold: dict[int, tuple[Array, Array]] = {}
        self._noise = np.zeros(len(energy))
        self._known: list[int] = []
        self._mean = np.zeros((0, len(energy)))
        self._covariance, self._inverse = np.zeros((2, 0, len(energy), len(energy)))
        self._log_determinant = np.zeros(0)
        self._ratio = np.zeros((0, 0))

    def prepare(self, candidates: Iterable[int]) -> None:
        """Foretell noise-free scans of candidates, so that they need not be when they are grouped."""
        for candidate in candidates:
            if candidate not in self._foretold:
                self._foretold[candidate] = self._hypotheses.predictive(self._energy, candidate)

    def groups(self, candidates: Sequence[int], variance: Array | float = 0.0) -> Groups:
        """Group these candidates; every two members of a group are indistinguishable (complete linkage).

        `variance` (n,) or one for all: the counting noise that is reached.
        """
        if len(candidates) < 2:
            return tuple((candidate,) for candidate in candidates)
        noise = np.broadcast_to(variance, self._energy.shape)
        wanted = set(candidates) if np.array_equal(noise, self._noise) else set[int]()
        new = sorted(set(candidates) - (wanted & set(self._known)))
        if new:
            self._forget(wanted)
            self._noise = noise
            self._learn(new)
        where = {candidate: place for place, candidate in enumerate(self._known)}
        chosen = [where[candidate] for candidate in candidates]
        ratio = self._ratio[np.ix_(chosen, chosen)]
        distance = np.maximum(np.minimum(ratio, ratio.T), 0.0)
        np.fill_diagonal(distance, 0.0)
        label = fcluster(linkage(squareform(distance), "complete"), TELLING, "distance")
        members = np.array(candidates)
        return tuple(sorted(tuple(sorted(members[label == value].tolist())) for value in np.unique(label)))

    def _forget(self, wanted: set[int]) -> None:
        """Keep only what is known of wanted candidates."""
        kept = [place for place, candidate in enumerate(self._known) if candidate in wanted]
        self._known = [self._known[place] for place in kept]
        self._mean, self._covariance, self._inverse = self._mean[kept], self._covariance[kept], self._inverse[kept]
        self._log_determinant, self._ratio = self._log_determinant[kept], self._ratio[np.ix_(kept, kept)]

    def _learn(self, new: list[int]) -> None:
        self.prepare(new)
        mean = np.array([self._foretold[candidate][0] for candidate in new])
        covariance = np.array([self._foretold[candidate][1] for candidate in new]) + np.diag(self._noise)
        old = len(self._known)
        self._known.extend(new)
        self._mean = np.concatenate([self._mean, mean])
        self._covariance = np.concatenate([self._covariance, covariance])
        self._inverse = np.concatenate([self._inverse, np.linalg.inv(covariance)])
        root = np.diagonal(np.linalg.cholesky(covariance), axis1=1, axis2=2)
        self._log_determinant = np.append(self._log_determinant, 2 * np.log(root).sum(axis=1))
        ratio = np.zeros((len(self._known), len(self._known)))
        ratio[:old, :old] = self._ratio
        every, recent = slice(0, len(self._known)), slice(old, len(self._known))
        ratio[every, recent] = self._ratios(every, recent)
        ratio[recent, :old] = self._ratios(recent, slice(0, old))
        self._ratio = ratio

    def _ratios(self, first: slice, second: slice) -> Array:
        """Return how much scans drawn from each of the first are expected to favour it over each of the second, in nats.

        These are Kullback–Leibler divergences of Gaussians (k, l).
        """
        inverse, size = self._inverse[second], len(self._energy)
        covariance = self._covariance[first]
        mixed = covariance.reshape(len(covariance), size**2) @ inverse.reshape(len(inverse), size**2).T
        apart = self._mean[first][:, None] - self._mean[second]
        squares = ((apart.transpose(1, 0, 2) @ inverse) * apart.transpose(1, 0, 2)).sum(axis=-1).T
        determinants = self._log_determinant[second] - self._log_determinant[first, None]
        return 0.5 * (mixed + squares - size + determinants)


def grouping(hypotheses: Hypotheses) -> Grouping:
    """Return the grouping for a scan of all that the predictions say."""
    span = hypotheses.tables.spectra.energy
    energy = np.arange(span[0], span[-1], max(hypotheses.gap.cell, (span[-1] - span[0]) / PROBES))
    return Grouping(hypotheses, energy)
