"""Repeats that do not belong to the others."""

import numpy as np

from xas_bluesky.reduction.repeats import MIN_POINTS, Points
from xas_bluesky.spectra import Array

FAR_SHIFT, FAR_RATIO = 1.0, 5.0
"""A shift is far from the others' median by more than this (eV), and by this many times their median deviation."""
UNLIKE, UNLIKE_RATIO = 0.01, 4.0
"""An outlier differs by this share of the range of mu, and by this many times what is usual (measured repeats: 2)."""
GLITCHES = 0.03
"""Share of the points, those that differ most, that is left out when two scans are compared."""
SIGNIFICANCE = 3.0
"""Standard deviations of noise that a difference has to exceed."""


def far_shifts(shifts: Array) -> dict[int, str]:
    """Return which of k shifts (eV) are far from the others and why; NaN is no shift, and of two none is far."""
    told = np.flatnonzero(np.isfinite(shifts))
    if len(told) < 3:
        return {}
    away = shifts - np.median(shifts[told])
    limit = max(FAR_SHIFT, FAR_RATIO * float(np.median(np.abs(away[told]))))
    return {int(i): f"its shift is {away[i]:+.2f} eV from the others' median" for i in told if abs(away[i]) > limit}


def unlike_shapes(points: Points) -> dict[int, str]:
    """Return which of k repeats differ from at least half of the others far more than is usual, and why; none of two."""
    if points.k < 3:
        return {}
    away = np.sort(differences(points), axis=1)  # NaN last
    half = np.maximum((np.isfinite(away).sum(axis=1) + 1) // 2 - 1, 0)
    typical = np.nan_to_num(away[np.arange(points.k), half])
    usual = float(np.median(typical))
    return {
        i: f"its shape differs from the others' by {share:.1%} of their range, theirs from each other by {usual:.1%}"
        for i, share in enumerate(typical)
        if share > max(UNLIKE, UNLIKE_RATIO * usual)
    }


def differences(points: Points) -> Array:
    """Return by how much each two repeats differ beyond noise, a share of the range of mu, (k, k); NaN where unknown."""
    weight = points.by_scan(points.weight)
    known = weight > 0
    variance = 1 / np.where(known, weight, 1.0)
    mu = points.by_scan(points.weight * points.mu) * variance
    low, high = np.percentile(points.mean(), [2, 98])
    found = np.full((points.k, points.k), np.nan)
    for i, j in zip(*np.triu_indices(points.k, 1), strict=True):
        both = known[i] & known[j]
        n = int(both.sum())
        if n >= MIN_POINTS:
            squares = np.sort((mu[i] - mu[j])[both] ** 2)[: int((1 - GLITCHES) * n)]
            noise = float((variance[i] + variance[j])[both].mean())
            beyond = float(squares.mean()) - noise * (1 + SIGNIFICANCE * np.sqrt(2 / n))
            found[i, j] = found[j, i] = np.sqrt(max(beyond, 0.0)) / max(high - low, np.finfo(float).tiny)
    return found
