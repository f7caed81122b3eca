"""Choose the energies that tell the groups of candidates apart best, per second."""

import numpy as np

from xas_bluesky.comparison import NONE, Groups, Hypotheses, Posterior
from xas_bluesky.spectra import Array

NEGLIGIBLE = 1e-3
"""Hypotheses below this share of the weight do not steer; they stay in the posterior and can come back."""


def choose_energies(
    posterior: Posterior,
    hypotheses: Hypotheses,
    groups: Groups,
    energy: Array,
    variance: Array,
    seconds: Array,
    count: int,
) -> Array:
    """Choose up to `count` of the given energies (n,) that together say most about the group, per second.

    `variance` (n,): counting variance of a normalized point there; `seconds` (n,): what it costs. The gain is the mutual
    information between group and outcomes, both taken as Gaussian (moments matched); the batch grows greedily, each
    point judged given those before it (a log-determinant), so that points do not repeat each other. Returns the
    energies, increasing.
    """
    kinds, prior, means, covariances = _by_group(posterior, hypotheses, groups, energy)
    if len(kinds) < 2:
        return energy[np.unique(np.linspace(0, len(energy) - 1, count).astype(np.int64))]  # nothing to tell apart: spread
    noise = variance + hypotheses.gap.fine_sd**2
    center = prior @ means
    apart = (means - center) * np.sqrt(prior)[:, None]
    total = np.tensordot(prior, covariances, axes=1) + apart.T @ apart
    stack = np.concatenate([total[None], covariances])
    sign = np.concatenate([[1.0], -prior])
    chosen: list[int] = []
    for _ in range(min(count, len(energy))):
        variances = np.diagonal(stack, axis1=1, axis2=2) + noise
        gain = 0.5 * sign @ np.log(variances) / seconds
        gain[chosen] = -np.inf
        best = int(gain.argmax())
        chosen.append(best)
        column = stack[:, :, best]
        stack = stack - column[:, :, None] * column[:, None, :] / variances[:, best, None, None]
    return np.sort(energy[chosen])


def _by_group(
    posterior: Posterior, hypotheses: Hypotheses, groups: Groups, energy: Array
) -> tuple[list[int], Array, Array, Array]:
    """Return the groups still in play with their probability (g,), predictive mean (g, n) and covariance (g, n, n)."""
    of_candidate = {member: index for index, group in enumerate(groups) for member in group} | {NONE: NONE}
    group = np.array([of_candidate[int(candidate)] for candidate in hypotheses.candidate])
    heavy = posterior.weight > NEGLIGIBLE * posterior.weight.max()
    kinds = [int(kind) for kind in np.unique(group[heavy])]
    prior, means, covariances = [], [], []
    for kind in kinds:
        chosen = np.flatnonzero(heavy & (group == kind))
        share = posterior.weight[chosen] / posterior.weight[chosen].sum()
        mean, features = hypotheses.design(energy, chosen)
        mean = mean + np.einsum("hnr,hr->hn", features, posterior.center[chosen])
        center = share @ mean
        off = (mean - center) * np.sqrt(share)[:, None]
        reached = np.einsum("hnr,hrs->hns", features, posterior.covariance[chosen])
        covariance = np.einsum("h,hns,hms->nm", share, reached, features, optimize=True) + off.T @ off
        prior.append(posterior.weight[chosen].sum())
        means.append(center)
        covariances.append(covariance)
    weight = np.array(prior)
    return kinds, weight / weight.sum(), np.array(means), np.array(covariances)
