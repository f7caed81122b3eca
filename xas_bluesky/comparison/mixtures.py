"""Mixtures of two candidates: how probable each is beside the pure candidates, and how much there is of either."""

from dataclasses import dataclass

import numpy as np

from xas_bluesky.comparison.hypotheses import Hypotheses, Index
from xas_bluesky.comparison.posterior import Belief
from xas_bluesky.comparison.tables import SCALE_SD
from xas_bluesky.spectra import Absorption, Array

MIXTURE_PRIOR = 0.1
"""Of all mixtures of two candidates together, shared by every pair."""
PAIRED = 200
"""Candidates that are tried in pairs, the most probable ones."""
NEAR_SHIFTS = 15
"""Shifts that a pair is weighed at, about that of the least squares."""
KEPT = 12
"""Shapes and shifts of a pair whose fraction is looked at closely."""
ALIKE = 1e-9
"""Two spectra that differ by less, in squares of standard errors, are the same: any fraction will do."""
NODES = 25
REACH = 6.0
"""A fraction is looked at in so many places, to so many standard deviations about the most probable one."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """Hold a mixture of two candidates.

    `fraction` ± `fraction_sd` of the absorbing atoms are those of `first`, the others those of `second`. `probability`: beside
    all other mixtures, the pure candidates and none of these.
    """

    first: str
    second: str
    fraction: float
    fraction_sd: float
    probability: float


def find_mixtures(absorption: Absorption, hypotheses: Hypotheses, most: int = 10) -> tuple[Mixture, ...]:
    """Weigh the mixtures of two candidates that fit a measured scan best, the most probable first, at most so many.

    The spectrum of a mixture is f · first + (1 − f) · second with one shift, broadening and scale for both; beforehand f is
    uniform from 0 to 1. The covariance of theory's error is as much of the first's and of the second's: however the two errors
    go together, a mixture's is no more, and it never gets small by averaging. Of more than PAIRED candidates the most
    probable are paired. Raises SpectrumError when the points cannot settle an edge step.
    """
    belief = Belief(hypotheses)
    belief.update(absorption)
    named = len(hypotheses.names)
    if named < 2:
        return ()
    of_candidate = np.logaddexp.reduce(belief.log_weight.reshape(hypotheses.size[0], -1)[:named], axis=1)
    paired = np.sort(np.argsort(-of_candidate, kind="stable")[:PAIRED])
    found: list[tuple[float, float, float, int, int]] = []
    for first, second, shift in _promising(belief, paired, most):
        products, log_prior = _products(belief, first, second, shift)
        found.append((*_weigh(products, log_prior, hypotheses.gap.temper), first, second))
    share = np.log(MIXTURE_PRIOR / (named * (named - 1) / 2))
    evidence = np.array([log_evidence for log_evidence, *_ in found]) + share
    others = np.logaddexp.reduce(belief.log_weight) + np.log(1 - MIXTURE_PRIOR)
    total = np.logaddexp(np.logaddexp.reduce(evidence), others)
    mixtures = [
        _named(hypotheses.names, first, second, fraction, sd, float(np.exp(log_weight - total)))
        for log_weight, (_, fraction, sd, first, second) in zip(evidence, found, strict=True)
    ]
    return tuple(sorted(mixtures, key=lambda mixture: -mixture.probability))


def _named(names: tuple[str, ...], first: int, second: int, fraction: float, sd: float, probability: float) -> Mixture:
    if fraction < 0.5:
        first, second, fraction = second, first, 1 - fraction
    return Mixture(names[first], names[second], fraction, sd, probability)


def _promising(belief: Belief, paired: Index, most: int) -> list[tuple[int, int, float]]:
    """Return the pairs, and their shift (eV), that least squares of a scale each, an offset and a slope fit best."""
    hypotheses, cells = belief.hypotheses, belief.cells
    tables, gap = hypotheses.tables, hypotheses.gap
    whole = np.array([tables.continued(mean) for mean in tables.spectra.mean[paired]])
    seen = tables.distorted(whole, whole)[len(tables.shapes) // 2][0]
    root = 1 / np.sqrt(cells.variance)
    line, _ = np.linalg.qr(hypotheses.baseline(cells.energy) * root[:, None])
    measured = cells.mu * root
    measured -= line @ (line.T @ measured)
    first, second = np.triu_indices(len(paired), 1)
    best, shift_of_best = np.full(len(first), -np.inf), np.zeros(len(first))
    for shift in hypotheses.shifts:
        terms = np.array([np.interp(cells.energy - shift, tables.grid, one) for one in seen]) * root
        terms -= terms @ line @ line.T
        gained = _explained(terms @ terms.T, terms @ measured)[first, second]
        gained -= ((shift - gap.shift) / gap.shift_sd) ** 2
        better = gained > best
        best[better], shift_of_best[better] = gained[better], shift
    order = np.argsort(-best, kind="stable")[:most]
    return [(int(paired[first[k]]), int(paired[second[k]]), float(shift_of_best[k])) for k in order]


def _explained(products: Array, pull: Array) -> Array:
    """Return how much (k, k) two terms explain with weights of at least 0; products (k, k), and with the spectrum (k,)."""
    size = np.maximum(np.diagonal(products), ALIKE)
    alone = np.maximum(pull, 0) ** 2 / size
    determinant = np.maximum(size[:, None] * size - products**2, ALIKE * size[:, None] * size)
    weight = (pull[:, None] * size - pull * products) / determinant
    both = weight * pull[:, None] + weight.T * pull
    return np.where((weight > 0) & (weight.T > 0), both, np.maximum(alone[:, None], alone))


def _products(belief: Belief, first: int, second: int, shift: float) -> tuple[Array, Array]:
    """Return all that decides about a pair in k shapes and shifts (k, q, q), and their prior (k,), as logarithms.

    These are the products of columns: the features of the first, of the second, and the baseline's; what is measured, the
    second's spectrum, and by how much the first's is above it. The scale's features are left out: a mixture has but one.
    """
    hypotheses, cells = belief.hypotheses, belief.cells
    _, shapes, shifts = hypotheses.size
    near = np.sort(np.argsort(np.abs(hypotheses.shifts - shift), kind="stable")[:NEAR_SHIFTS])
    chosen = (np.arange(shapes)[:, None] * shifts + near).ravel()
    mean, features = hypotheses.design(cells.energy, chosen + first * shapes * shifts)
    other, other_features = hypotheses.design(cells.energy, chosen + second * shapes * shifts)
    ends = np.stack([np.broadcast_to(cells.mu, mean.shape), other, mean - other], axis=-1)
    columns = np.concatenate([features[..., 1:-2], other_features[..., 1:], ends], axis=-1)
    columns /= np.sqrt(cells.variance)[:, None]
    log_prior = hypotheses.log_prior[hypotheses.of_member(first)]
    return np.swapaxes(columns, 1, 2) @ columns, log_prior[chosen] - np.logaddexp.reduce(log_prior)


def _weigh(products: Array, log_prior: Array, temper: float) -> tuple[float, float, float]:
    """Return the log evidence of a mixture, and its fraction's mean and standard deviation."""
    log_likelihood, slope, curvature = _likelihood(products, np.full((len(products), 1), 0.5))
    step = np.clip(slope / curvature, -0.5, 0.5)
    peak = log_prior[:, None] + temper * (log_likelihood + slope * step - 0.5 * curvature * step**2)
    kept = np.argsort(-peak[:, 0], kind="stable")[:KEPT]
    reach = REACH / np.sqrt(temper * curvature[kept])
    low, high = np.clip(0.5 + step[kept] - reach, 0, 1), np.clip(0.5 + step[kept] + reach, 0, 1)
    fraction = low + (high - low) * np.linspace(0, 1, NODES)
    log_weight = log_prior[kept, None] + temper * _likelihood(products[kept], fraction)[0] + np.log((high - low) / (NODES - 1))
    log_weight[:, [0, -1]] -= np.log(2)
    log_evidence = float(np.logaddexp.reduce(log_weight, axis=None))
    weight = np.exp(log_weight - log_evidence)
    mean = float((weight * fraction).sum())
    return log_evidence, mean, float(np.sqrt((weight * (fraction - mean) ** 2).sum()))


def _likelihood(products: Array, fraction: Array) -> tuple[Array, Array, Array]:
    """Return the log likelihood (k, m) of fractions (k, m), and its slope and curvature there, the covariance held fixed.

    Less what all hypotheses have in common, as in `Regressions`.
    """
    size = products.shape[-1] - 3
    part, ones = fraction[..., None], np.ones(size // 2 - 1)
    weight = np.sqrt(np.concatenate([part * ones, (1 - part) * ones, part**0, part**0], axis=-1))
    ends = np.zeros((*fraction.shape, 3, 3))  # of the columns at the end: the scale's feature, what is left, the difference
    ends[..., 1, 0], ends[..., 2, 0] = SCALE_SD, SCALE_SD * fraction
    ends[..., 0, 1], ends[..., 1, 1], ends[..., 2, 1] = 1.0, -1.0, -fraction
    ends[..., 2, 2] = 1.0
    right = products[:, None, :, size:] @ ends
    joined = np.empty((*fraction.shape, size + 3, size + 3))
    joined[..., :size, :size] = weight[..., None] * products[:, None, :size, :size] * weight[..., None, :]
    joined[..., :size, size:] = weight[..., None] * right[..., :size, :]
    joined[..., size:, :size] = np.swapaxes(joined[..., :size, size:], -1, -2)
    joined[..., size:, size:] = np.swapaxes(ends, -1, -2) @ right[..., size:, :]
    root = np.linalg.cholesky(joined + np.eye(size + 3))
    corner = root[..., -2:, -2:]
    left = corner @ np.swapaxes(corner, -1, -2) - np.eye(2)  # squares of the last two columns, the features taken out
    log_determinant = 2 * np.log(np.diagonal(root, axis1=-2, axis2=-1)[..., :-2]).sum(axis=-1)
    return -0.5 * (left[..., 0, 0] + log_determinant), left[..., 0, 1], np.maximum(left[..., 1, 1], ALIKE)
