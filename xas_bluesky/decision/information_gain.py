"""Choose the energies and dwells that say most about the group of candidates, per second."""

from dataclasses import dataclass

import numpy as np

from xas_bluesky.comparison import Belief, Groups, mixture_moments
from xas_bluesky.spectra import Array

STEERING = 64
"""Hypotheses that steer, at most, the heaviest; none below NEGLIGIBLE of the heaviest. The others stay in the posterior."""
NEGLIGIBLE = 1e-3
QUIET = 0.5
"""A point is measured until its counting error is this share of the model's error there; more would not help."""
DWELLS = (1.0, 0.3, 0.1)
"""Dwells tried, as shares of that one."""
WORTH = 0.5
"""A batch ends where the next point gains less per second than this share of what the batch does."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Say what a point costs beside its dwell: `overhead` (s) and the way at `speed` (eV/s); and what a `sweep` does (s)."""

    overhead: float = 0.5
    speed: float = float("inf")
    sweep: float = 1.0


@dataclass(frozen=True, slots=True)
class Offer:
    """Hold points that may be measured: `energy` (n,) eV, the counting variance of one second there, and dwell limits (s)."""

    energy: Array
    variance: Array
    shortest: float
    longest: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Hold chosen points, energies increasing, with the information expected of them (nats) and the seconds they take."""

    energy: Array
    dwell: Array
    gain: float
    seconds: float


def choose_points(belief: Belief, groups: Groups, offer: Offer, cost: Cost, start: float, most: int) -> Batch:
    """Choose up to `most` points that together say most about the group per second, the mono being at `start` (eV).

    The gain is the mutual information between group and outcomes, both taken as Gaussian (moments matched). The batch grows
    greedily, each point judged given those before it (a log-determinant), so that points do not repeat each other, and by
    the seconds that it adds to a sweep from below.
    """
    prior, means, covariances = _by_group(belief, groups, offer.energy)
    fine, alike = belief.hypotheses.fine_variance(offer.energy), belief.hypotheses.gap.alike
    crowd = 1 + alike(offer.energy, belief.cells.energy).sum(axis=1)
    model = prior @ np.diagonal(covariances, axis1=1, axis2=2) + fine
    enough = np.clip(offer.variance / (QUIET**2 * model), offer.shortest, offer.longest)
    dwells = np.clip(np.multiply.outer(DWELLS, enough), offer.shortest, None)
    counted = offer.variance / dwells
    center = prior @ means
    apart = (means - center) * np.sqrt(prior)[:, None]
    total = np.tensordot(prior, covariances, axes=1) + apart.T @ apart
    unknown, sign = Unknown(np.concatenate([total[None], covariances]), most), np.concatenate([[0.5], -0.5 * prior])
    chosen: list[int] = []
    spent: list[float] = []
    gained = seconds = 0.0
    low, high = np.inf, -np.inf
    while len(chosen) < min(most, len(offer.energy)):
        variances = unknown.variance[:, None] + counted + fine * crowd
        gain = np.maximum(np.tensordot(sign, np.log(variances), axes=1), 0.0)
        first, last = np.minimum(offer.energy, low), np.maximum(offer.energy, high)
        travel = (np.abs(first - start) + last - first) / cost.speed
        before = (abs(low - start) + high - low) / cost.speed if chosen else -cost.sweep
        extra = np.maximum(travel - before, 0.0) + cost.overhead + dwells
        rate = gain / extra
        rate[:, chosen] = -np.inf
        level, best = np.unravel_index(int(rate.argmax()), rate.shape)
        if chosen and rate[level, best] < WORTH * gained / seconds:
            break
        unknown.measure(int(best), variances[:, level, best])
        crowd += alike(offer.energy, offer.energy[[best]])[:, 0]
        chosen.append(int(best))
        spent.append(float(dwells[level, best]))
        gained, seconds = gained + float(gain[level, best]), seconds + float(extra[level, best])
        low, high = min(low, offer.energy[best]), max(high, offer.energy[best])
    order = np.argsort(chosen)
    entropy = float(-(prior @ np.log(prior)))  # moments matched, the gain can come out larger than what there is to know
    return Batch(offer.energy[np.array(chosen)[order]], np.array(spent)[order], min(gained, entropy), seconds)


class Unknown:
    """Keep what is unknown of outcomes while points are chosen, for each of some Gaussians of covariance (g, n, n).

    `variance` (g, n): what is left, counting and fine error apart.
    """

    def __init__(self, covariance: Array, most: int) -> None:
        self._covariance = covariance
        self.variance = np.diagonal(covariance, axis1=1, axis2=2).copy()
        # what each chosen point says of all others: rows of the covariance's Cholesky factor
        self._said, self._count = np.zeros((len(covariance), most, covariance.shape[-1])), 0

    def measure(self, point: int, variance: Array) -> None:
        """Take a point off whose outcomes have variances (g,), errors included."""
        said = self._said[:, : self._count]
        left = self._covariance[:, point] - (said[:, None, :, point] @ said)[:, 0]
        self._said[:, self._count] = left / np.sqrt(variance)[:, None]
        self.variance -= self._said[:, self._count] ** 2
        self._count += 1


def _by_group(belief: Belief, groups: Groups, energy: Array) -> tuple[Array, Array, Array]:
    """Return the groups still in play with their probability (g,), predictive mean (g, n) and covariance (g, n, n)."""
    hypotheses = belief.hypotheses
    chosen, weight = belief.leading(STEERING, NEGLIGIBLE)
    member = hypotheses.member(chosen)
    none = len(hypotheses.names)
    of_member = {candidate: place for place, group in enumerate(groups) for candidate in group}
    # a candidate that is in no group counts alone; all kinds of none of these count as one
    group = np.array([-1 if one >= none else of_member.get(one, len(groups) + one) for one in member.tolist()])
    mean, features = hypotheses.design(energy, chosen)
    known, uncertain = belief.features(chosen)
    mean = mean + (features @ known[..., None])[..., 0]
    spread = features @ np.linalg.cholesky(uncertain)
    prior, means, covariances = [], [], []
    for kind in np.unique(group):
        own = np.flatnonzero(group == kind)
        center, covariance = mixture_moments(weight[own] / weight[own].sum(), mean[own], spread[own])
        prior.append(weight[own].sum())
        means.append(center)
        covariances.append(covariance)
    share = np.array(prior)
    return share / share.sum(), np.array(means), np.array(covariances)
