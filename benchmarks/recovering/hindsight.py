"""What could have been: greedy choices of points by one who knows the spectrum.

Each step adds the point that brings the error of an interpolant down most; once a point brings it below the limit, the one
that then leaves the edge nearest. The best of all interpolants and starts counts, separately for each file.
"""

from typing import Literal

import numpy as np

from recovering.measured import LIMIT_RMSE, Reference
from xas_bluesky.decision.recovery import FEWEST, NOISE_FLOOR, PLAIN_SHARE, Belief
from xas_bluesky.spectra import Array

Kind = Literal["linear", "pchip", "cubic"]
KINDS: tuple[Kind, ...] = ("linear", "pchip", "cubic")
STARTS = (2, 4)
"""Evenly spaced points, of which one start is made: a cubic through two is lost."""
MOST = 120


def hindsight(reference: Reference) -> dict[str, int]:
    """Return the points needed, by interpolant; of all but the first no more are tried than the best one before needed."""
    best, found = MOST, {}
    for kind in KINDS:
        for start in STARTS:
            count = greedy(reference, kind, start, best)
            best, found[kind] = min(best, count), min(count, found.get(kind, count))
    found["ours"] = greedy_ours(reference, best)
    return found


def greedy(reference: Reference, kind: Kind, start: int, most: int) -> int:
    """Add points to `start` evenly spaced ones; MOST + 1 if `most` do not do."""
    chosen = even(reference, start)
    while len(chosen) <= most:
        if reference.reached(interpolated(kind, reference, chosen[None])[0]):
            return len(chosen)
        chosen = _one_more(reference, kind, chosen)
    return MOST + 1


def greedy_ours(reference: Reference, most: int) -> int:
    """Do the same with our recovered spectrum in the place of an interpolant, the process fitted anew at each step."""
    chosen = even(reference, 2)
    while len(chosen) < FEWEST:
        chosen = _one_more(reference, "linear", chosen)
    while len(chosen) <= most:
        belief = Belief.from_points(reference.points(chosen))
        explained = belief.process.explained(reference.energy)
        if reference.reached(belief.mean(reference.energy, explained)):
            return len(chosen)
        mean = belief.process.mean(reference.energy, explained)
        left = belief.process.covariance(reference.energy, reference.energy) - explained.T @ explained
        step = (reference.measured - mean) / (np.diag(left) + NOISE_FLOOR**2)
        tried = _with_each_other(chosen, len(mean))
        others = np.setdiff1d(np.arange(len(mean)), chosen)
        curves = (1 - PLAIN_SHARE) * (mean[:, None] + left * step).T[others]
        chosen = tried[_best(reference, curves + PLAIN_SHARE * interpolated("pchip", reference, tried))]
    return MOST + 1


def even(reference: Reference, count: int) -> Array:
    """Return evenly spaced places of the grid."""
    return np.round(np.linspace(0, len(reference.energy) - 1, count)).astype(int)


def _one_more(reference: Reference, kind: Kind, chosen: Array) -> Array:
    tried = _with_each_other(chosen, len(reference.energy))
    return tried[_best(reference, interpolated(kind, reference, tried))]


def _with_each_other(chosen: Array, count: int) -> Array:
    """Return `chosen` (n,) with each one of the other places below `count`, (count - n, n + 1)."""
    others = np.setdiff1d(np.arange(count), chosen)
    return np.sort(np.column_stack([np.tile(chosen, (len(others), 1)), others]), axis=1)


def _best(reference: Reference, curves: Array) -> int:
    rmse = reference.rmse(curves)
    near = np.flatnonzero(rmse < LIMIT_RMSE)
    return int(near[reference.edge_error(curves[near]).argmin()] if len(near) else rmse.argmin())


def interpolated(kind: Kind, reference: Reference, chosen: Array) -> Array:
    """Interpolate what is measured at c choices of n places of the grid (c, n), rising and with both ends: (c, 361)."""
    energy, mu = reference.energy, reference.measured
    at, value = energy[chosen], mu[chosen]
    is_chosen = np.zeros((len(chosen), len(energy)), dtype=int)
    np.put_along_axis(is_chosen, chosen, 1, axis=1)
    interval = np.clip(is_chosen.cumsum(axis=1) - 1, 0, chosen.shape[1] - 2)

    def spread(values: Array) -> Array:
        return np.take_along_axis(values, interval, axis=1)

    width, low, high = spread(np.diff(at)), spread(value[:, :-1]), spread(value[:, 1:])
    share = (energy - spread(at[:, :-1])) / width
    if kind == "linear":
        return low + (high - low) * share
    slope = (_pchip_slopes if kind == "pchip" else _cubic_slopes)(at, value)
    rise = width * share * (1 - share) * ((1 - share) * spread(slope[:, :-1]) - share * spread(slope[:, 1:]))
    return low + (high - low) * share**2 * (3 - 2 * share) + rise


def _pchip_slopes(at: Array, value: Array) -> Array:
    width = np.diff(at)
    secant = np.diff(value) / width
    before, after = 2 * width[:, 1:] + width[:, :-1], width[:, 1:] + 2 * width[:, :-1]
    same_way = secant[:, :-1] * secant[:, 1:] > 0
    safe = np.where(same_way, secant[:, :-1], 1.0), np.where(same_way, secant[:, 1:], 1.0)
    inner = np.where(same_way, (before + after) / (before / safe[0] + after / safe[1]), 0.0)
    return np.column_stack([secant[:, 0], inner, secant[:, -1]])


def _cubic_slopes(at: Array, value: Array) -> Array:
    """Return the slopes of the natural cubic splines."""
    width = np.diff(at)
    secant = np.diff(value) / width
    count = at.shape[1]
    matrix, right = np.zeros((len(at), count, count)), np.zeros_like(value)
    inner = np.arange(1, count - 1)
    matrix[:, inner, inner - 1], matrix[:, inner, inner + 1] = width[:, 1:], width[:, :-1]
    matrix[:, inner, inner] = 2 * (width[:, :-1] + width[:, 1:])
    right[:, inner] = 3 * (width[:, 1:] * secant[:, :-1] + width[:, :-1] * secant[:, 1:])
    matrix[:, 0, 0] = matrix[:, -1, -1] = 2
    matrix[:, 0, 1] = matrix[:, -1, -2] = 1
    right[:, 0], right[:, -1] = 3 * secant[:, 0], 3 * secant[:, -1]
    return np.linalg.solve(matrix, right[..., None])[..., 0]
