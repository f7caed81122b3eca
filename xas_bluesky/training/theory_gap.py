"""Learn from pairs of theories how one's spectra err against the other's, as the gap says it."""

from dataclasses import replace

import numpy as np

from xas_bluesky.comparison.gap import FIRST_NODE, Gap
from xas_bluesky.spectra import Array
from xas_bluesky.training.theory_pairs import FLOOR, TheoryPairs

STEP = 0.1
FINE: Array = np.linspace(FIRST_NODE - 1.2, FIRST_NODE + 14.2, 155)
"""Energies (eV from the ionization energy) of the computed spectra, which errors are made of."""
CELLS = np.arange(22, 139, 4)
"""Where on FINE spectra are compared: up to the ionization energy, above which the published basis set has no continuum."""
SHIFTS = np.arange(-12, 13, 2)
"""The shifts that are allowed for, in steps of FINE."""
PLACES = 17
USUAL = (0.05, 0.15)
"""Movement (eV) and relative change of strength in made-up pairs, without which places where little absorbs had no error."""
MADE_UP = 20
ROUNDS = 60
CHUNK = 40
NOTHING = Gap(warp_sd=0.0, strength_sd=0.0, smooth_sd=0.0, floor_sd=0.0, fine_sd=0.0)


def learn(pairs: TheoryPairs, rank: int) -> Gap:
    """Fit the covariance of movements and strengths to pairs, by expectation maximization of their evidence.

    The energies of both theories must agree but for the shifts, which are learned too. Of the covariance's directions the
    `rank` leading ones are kept, rounded to 0.0001.
    """
    near = np.exp(-0.5 * (np.arange(PLACES)[:, None] - np.arange(PLACES)) ** 2) + 1e-3 * np.eye(PLACES)
    start = 0.5 * np.kron(np.diag(np.square(USUAL)), near)
    elementary = replace(NOTHING, learned=_rows(np.eye(len(start))))
    covariance, shift, shift_sd = start, 0.0, 0.3
    for _ in range(ROUNDS):
        root = np.linalg.cholesky(covariance)
        second, weights = np.zeros_like(start), np.zeros(len(SHIFTS))
        for part in _chunks(pairs):
            found, weight = _second_moment(_residuals(part), _features(part, elementary) @ root, _log_shift(shift, shift_sd))
            second, weights = second + found, weights + weight
        covariance = (root @ second @ root.T + MADE_UP * start) / (len(pairs) + MADE_UP)
        shift = float(weights @ SHIFTS / len(pairs)) * STEP
        shift_sd = max(float(np.sqrt(weights @ (SHIFTS * STEP - shift) ** 2 / len(pairs))), STEP)
    sizes, directions = np.linalg.eigh(covariance)
    kept: Array = (np.sqrt(sizes.clip(0)) * directions).T[::-1][:rank]
    return replace(NOTHING, learned=_rows(kept.round(4)), shift=shift, shift_sd=shift_sd)


def log_evidence(pairs: TheoryPairs, gap: Gap) -> Array:
    """Return the log evidence (n,) of the published spectra under ours and a gap, in one resolution."""
    log_shift, found = _log_shift(gap.shift, gap.shift_sd), [np.zeros(0)]
    for part in _chunks(pairs):
        log_density, _, _ = _solve(_residuals(part), _features(part, gap), gap.fine_sd)
        found.append(np.logaddexp.reduce(log_density + log_shift, axis=1))
    return np.concatenate(found)


def _second_moment(residual: Array, features: Array, log_shift: Array) -> tuple[Array, Array]:
    """Return the second moment (r, r) of the features' weights, summed over pairs, and how probable each shift is (s,)."""
    log_density, whitened, half = _solve(residual, features, 0.0)
    log_weight = log_density + log_shift
    weight = np.exp(log_weight - np.logaddexp.reduce(log_weight, axis=1, keepdims=True))
    center = (np.swapaxes(half, -1, -2) @ whitened[..., None])[..., 0]
    scaled = half * np.sqrt(weight)[..., None, None]
    flat = scaled.reshape(-1, scaled.shape[-1])
    outer = (center * weight[..., None]).reshape(-1, center.shape[-1]).T @ center.reshape(-1, center.shape[-1])
    return len(residual) * np.eye(features.shape[-1]) - flat.T @ flat + outer, weight.sum(axis=0)


def _solve(residual: Array, features: Array, fine_sd: float) -> tuple[Array, Array, Array]:
    """Return log densities (n, s) of residuals (n, s, c), and these and the features (n, s, c, r) whitened."""
    noise = (fine_sd**2 + FLOOR**2) * np.eye(residual.shape[-1])
    root = np.linalg.cholesky(features @ np.swapaxes(features, -1, -2) + noise).astype(np.float64)
    both = np.linalg.solve(root, np.concatenate([residual[..., None], features], axis=-1)).astype(np.float64)
    whitened, half = both[..., 0], both[..., 1:]
    volume: Array = np.log(2 * np.pi * np.diagonal(root, axis1=-2, axis2=-1) ** 2).sum(axis=-1)
    return -0.5 * ((whitened**2).sum(axis=-1) + volume), whitened, half


def _rows(values: Array) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in values.tolist())


def _chunks(pairs: TheoryPairs) -> list[TheoryPairs]:
    chunk = np.arange(len(pairs)) // CHUNK
    return [pairs.select(chunk == one) for one in np.unique(chunk)]


def _moved(values: Array) -> Array:
    """Return values (…, fine) at the cells, for each shift (…, s, c)."""
    return values[..., CELLS - SHIFTS[:, None]]


def _residuals(pairs: TheoryPairs) -> Array:
    """Return published minus computed spectra (n, s, c), the computed ones shifted."""
    return pairs.published.spectra(FINE)[:, None, CELLS] - _moved(pairs.computed.spectra(FINE))


def _features(pairs: TheoryPairs, gap: Gap) -> Array:
    """Return the gap's features (n, s, c, r), shifted with the computed spectra."""
    each = np.array([gap.features(FINE, spectrum, 0.0) for spectrum in pairs.computed.spectra(FINE)])
    return np.moveaxis(_moved(each), 1, -1)


def _log_shift(shift: float, shift_sd: float) -> Array:
    log_prior = -0.5 * ((SHIFTS * STEP - shift) / shift_sd) ** 2
    return log_prior - np.logaddexp.reduce(log_prior)
