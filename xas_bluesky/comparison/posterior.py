"""The posterior: how probable each candidate is, and none of them, given what has been measured."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from xas_bluesky.comparison.hypotheses import Hypotheses
from xas_bluesky.errors import SpectrumError
from xas_bluesky.spectra import Absorption, Array

CLEAR_OF_EDGE = (-8.0, 14.0)
"""Points outside this window around the edge (eV) settle the provisional normalization."""
NEAR_EDGE = (-60.0, 80.0)
"""Points outside this window (eV) are not compared: no candidate says anything there, and the baseline is curved."""


@dataclass(frozen=True, slots=True)
class Posterior:
    """Hold the belief after some points.

    `probability` (n,) per candidate; `none` of these; `shift` (n,) expected measured − predicted energy, eV; for the plans:
    `weight` (h,) per hypothesis, and each one's features' `center` (h, r) and `covariance` (h, r, r).
    """

    probability: Array
    none: float
    shift: Array
    weight: Array
    center: Array
    covariance: Array


def provisional(absorption: Absorption, edge_energy: float) -> Absorption:
    """Normalize a scan that may be far from complete: a pre-edge line and an edge step by least squares.

    The step's form is an error function at the edge; what it gets wrong is left to the posterior's scale, offset and
    slope. Points far from the edge or of infinite variance are left out. Raises SpectrumError when the points cannot
    settle an edge step.
    """
    away = absorption.energy - edge_energy
    usable = np.isfinite(absorption.variance) & (away > NEAR_EDGE[0]) & (away < NEAR_EDGE[1])
    energy, mu, variance = absorption.energy[usable], absorption.mu[usable], absorption.variance[usable]
    away = away[usable]
    below, above = away < CLEAR_OF_EDGE[0], away > CLEAR_OF_EDGE[1]
    clear = below | above
    terms = np.stack([np.ones_like(away), away, ndtr(away / 2.0)], axis=-1)
    (offset, slope, step), _, rank, _ = np.linalg.lstsq(terms[clear], mu[clear], rcond=None)
    if rank < 3 or not (below.any() and above.any()):
        raise SpectrumError(
            f"the edge step is not known: it takes at least three energies, some of them below "
            f"{edge_energy + CLEAR_OF_EDGE[0]:.0f} eV and some above {edge_energy + CLEAR_OF_EDGE[1]:.0f} eV; "
            "measure a wider range"
        )
    if step <= 0:
        raise SpectrumError(f"the absorption does not rise at {edge_energy:.0f} eV; is this the right edge?")
    return Absorption(energy, (mu - offset - slope * away) / step, variance / step**2)


def in_cells(normalized: Absorption, cell: float) -> Absorption:
    """Merge the points of each energy cell, weighted by their variances: theory's fine error is one draw per cell."""
    _, place = np.unique(np.floor(normalized.energy / cell), return_inverse=True)
    weight = 1 / normalized.variance
    total = np.bincount(place, weight)
    energy = np.bincount(place, weight * normalized.energy) / total
    return Absorption(energy, np.bincount(place, weight * normalized.mu) / total, 1 / total)


def compare(normalized: Absorption, hypotheses: Hypotheses) -> Posterior:
    """Weigh every hypothesis against a provisionally normalized scan.

    Scale, offset, slope and the whole gap are marginalized analytically (a linear-Gaussian model per hypothesis).
    """
    cells = in_cells(normalized, hypotheses.gap.cell)
    mean, features = hypotheses.design(cells.energy)
    log_evidence, center, covariance = regress(cells.mu - mean, features, cells.variance + hypotheses.gap.fine_sd**2)
    log_weight = hypotheses.log_prior + log_evidence
    weight = np.exp(log_weight - np.logaddexp.reduce(log_weight))
    return Posterior(*summarize(log_weight, hypotheses), weight, center, covariance)


def regress(residual: Array, features: Array, variance: Array) -> tuple[Array, Array, Array]:
    """Return the log evidence (h,) of residuals (h, n), and the features' posterior center (h, r), covariance (h, r, r)."""
    scaled = features / variance[:, None]
    precision = np.swapaxes(features, 1, 2) @ scaled + np.eye(features.shape[-1])
    pull = np.einsum("hnr,hn->hr", scaled, residual)
    root = np.linalg.cholesky(precision)
    half = np.linalg.solve(root, pull[..., None])[..., 0]
    determinant = 2 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(-1) + np.log(variance).sum()
    fit = (residual**2 / variance).sum(-1) - (half**2).sum(-1)
    log_evidence = -0.5 * (fit + determinant + residual.shape[1] * np.log(2 * np.pi))
    covariance = np.linalg.inv(precision)
    return log_evidence, np.einsum("hrs,hs->hr", covariance, pull), covariance.astype(np.float64)


def summarize(log_weight: Array, hypotheses: Hypotheses) -> tuple[Array, float, Array]:
    """Return each candidate's probability, that of none, and each candidate's own expected shift (eV)."""
    total = float(np.logaddexp.reduce(log_weight))
    probability, shift = np.zeros(len(hypotheses.names)), np.zeros(len(hypotheses.names))
    candidate = hypotheses.candidate
    for place in range(len(hypotheses.names)):
        own = candidate == place
        of_own = float(np.logaddexp.reduce(log_weight[own]))
        probability[place] = np.exp(of_own - total)
        shift[place] = np.exp(log_weight[own] - of_own) @ hypotheses.shift[own]
    return probability, max(1.0 - float(probability.sum()), 0.0), shift
