"""Figures of merit of predicted spectra against computed ones."""

from typing import Any

import numpy as np
from scipy.stats import spearmanr

from xas_bluesky.spectra import Array

RESAMPLED = 1000
"""Draws of a bootstrap."""


def relative_l1(predicted: Array, computed: Array) -> float:
    """Return the summed absolute error over the summed spectra (n, m)."""
    return float(np.abs(predicted - computed).sum() / np.abs(computed).sum())


def peak_within(predicted: Array, computed: Array, tolerance: float) -> float:
    """Return the share of main peaks (eV) that lie within `tolerance` (eV) of the computed ones."""
    return float((np.abs(predicted - computed) <= tolerance + 1e-9).mean())


def coverage(predicted: Array, std: Array, computed: Array, widths: float) -> float:
    """Return the share of points that lie within `widths` standard deviations."""
    return float((np.abs(predicted - computed) <= widths * std).mean())


def rank_correlation(expected: Array, found: Array) -> float:
    """Return Spearman's rank correlation of expected and found errors (n,)."""
    result: Any = spearmanr(expected, found)
    return float(result.statistic)


def ratio_interval(errors: Array, others: Array, seed: int = 0) -> tuple[float, float, float]:
    """Return the ratio of two methods' summed errors (n,) on the same cases, with its 95 % interval by a paired bootstrap."""
    draws = np.random.default_rng(seed).integers(len(errors), size=(RESAMPLED, len(errors)))
    ratios = errors[draws].sum(axis=1) / others[draws].sum(axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(errors.sum() / others.sum()), float(low), float(high)
