"""An adaptive scan that knows no structures, in the manner of Du, Wolfman, Sun, Kelly and Cherukara (arXiv 2504.17124).

A Gaussian process (Matérn 5/2, its length by the greatest evidence) of the spectrum; the next energies are where its standard
deviation is largest, weighted by the slope of its mean and towards the edge. Not taken over: the fit to reference spectra, as
there are none, and their hardware.
"""

import numpy as np
from scipy.linalg import solve_triangular

from xas_bluesky.decision import ScanRequest
from xas_bluesky.spectra import Absorption, Array

FIRST = 10
BATCH = 4
"""Points of the first request, evenly spread, and of each further one, so that motion is shared as in our scans."""
LENGTHS = np.geomspace(0.6, 12.0, 5)
SLOPE_WEIGHT = 3.0
EDGE = (-6.0, 20.0)
AWAY = 0.25
"""The window (eV from the edge) of full weight, and the weight outside."""


def first_request(energy: Array, dwell: float) -> ScanRequest:
    """Return the first request: points spread evenly from end to end of the allowed energies (n,)."""
    spread = np.linspace(energy[0], energy[-1], FIRST)
    nearest = energy[np.unique(np.abs(energy[:, None] - spread).argmin(axis=0))]
    return ScanRequest(nearest, np.full(len(nearest), dwell))


def next_request(measured: Absorption, energy: Array, edge: float, dwell: float) -> ScanRequest | None:
    """Return where to measure next among the allowed energies (n,), None when all are measured; `edge` eV."""
    left = np.abs(energy[:, None] - measured.energy).min(axis=1) > 0.1
    scale = np.ptp(measured.mu)
    values, noise = (measured.mu - measured.mu.mean()) / scale, measured.variance / scale**2
    length = max(LENGTHS, key=lambda tried: _log_evidence(measured.energy, values, noise, tried))
    root = np.linalg.cholesky(_matern(measured.energy, measured.energy, length) + np.diag(noise + 1e-8))
    across = solve_triangular(root, _matern(measured.energy, energy, length), lower=True)
    slope = np.abs(np.gradient(across.T @ solve_triangular(root, values, lower=True), energy))
    near = (energy > edge + EDGE[0]) & (energy < edge + EDGE[1])
    weight = (1 + SLOPE_WEIGHT * slope / slope.max()) * np.where(near, 1.0, AWAY)
    covariance = _matern(energy, energy, length) - across.T @ across
    chosen: list[int] = []
    for _ in range(min(BATCH, int(left.sum()))):
        variance = np.maximum(np.diagonal(covariance), 0.0)
        best = int(np.argmax(np.where(left, np.sqrt(variance) * weight, -1.0)))
        chosen.append(best)
        left[best] = False
        column = covariance[:, best]
        covariance = covariance - np.outer(column, column) / (variance[best] + np.median(noise) + 1e-8)
    return ScanRequest(np.sort(energy[chosen]), np.full(len(chosen), dwell)) if chosen else None


def _matern(first: Array, second: Array, length: float) -> Array:
    distance = np.sqrt(5.0) * np.abs(first[:, None] - second) / length
    return (1 + distance + distance**2 / 3) * np.exp(-distance)


def _log_evidence(energy: Array, values: Array, noise: Array, length: float) -> float:
    root = np.linalg.cholesky(_matern(energy, energy, length) + np.diag(noise + 1e-8))
    half = solve_triangular(root, values, lower=True)
    return float(-0.5 * half @ half - np.log(np.diagonal(root)).sum())
