"""Glitches: one to three points that stand out of an otherwise smooth scan."""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from xas_bluesky.reduction.noise import MEDIAN_OF_ABSOLUTE_NORMAL
from xas_bluesky.spectra import Absorption, Array

Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]
Window = tuple[float, int, Array, Array]
"""A glitch: significance (above 1), first energy, predictions and tolerances (w,) at its w energies."""

WIDEST = 3
"""Energies in a row that can be told from structure of the sample."""
SIDE = 3
"""Energies needed on either side; nearer to the ends of a scan nothing is judged."""
FEWEST = 2 * SIDE + 2
BOTH_SIDES = np.array([-2, -1, 1, 2])[:, None]
ROUNDS = 5
"""A glitch may hide another one beside it until it is taken out."""
SAME_ENERGY = 0.02
"""Readings closer than this (eV) are one energy measured twice; finer scans are judged in steps of it."""
ENERGY_JITTER = 0.1
"""eV by which the mono may miss an energy: on the steep rise of an edge that is no glitch."""
SIGNIFICANT = 7.0
"""Smallest misfit, relative to the scatter of the points around (75,000 points with Gaussian noise: none by chance)."""
DISTINCT = 5.0
"""Smallest misfit, relative to that of the neighbours among themselves (lines wider than NARROWEST says: at most 4)."""
HARMLESS = 0.002
"""Misfits below this share of the range of mu are let pass."""
ROUNDING = 1e-12
SUSPECT = 4.0
"""Misfit, relative to the scatter, from which a place is looked at closely."""
AROUND = 32
"""Energies that the scatter is taken from."""
MANY = 2000
"""Energies; of twice as many, every second is enough to tell the scatter, and so on."""

NARROWEST = 1.7e-4
"""0.85 of the width of the narrowest line, relative to its energy: lifetime of the core hole and resolution of the mono."""
NARROWEST_ABOVE = 0.1
NARROWEST_BELOW = 1.0
"""The same, relative to the distance from the edge: fine structure grows wider above, and far below there is none."""
PRE_EDGE_PEAKS = 10.0
"""eV below the edge where these begin."""


@dataclass(frozen=True, slots=True)
class _Curve:
    """Hold a scan by energy, `energy`, `mu` and `count` (n,); repeats, from `low` to `high`, are points from `first` on."""

    energy: Array
    mu: Array
    count: Array
    low: Array
    high: Array
    first: Indices


def find_glitches(absorption: Absorption, edge: float | None = None) -> Flags:
    """Find the glitches of a scan, (n,): spikes and dips that are one to three energies wide.

    A glitch misfits the cubic through the two energies on either side of it by more than scatter, energy jitter and the
    misfit of these neighbours among themselves explain, and it is narrower than a spectral line could be at its place.
    How narrow that is depends on the distance from the `edge` (eV, from tables or e0); without one, any energy may lie
    in a white line, and only finely spaced ones are judged. The order of the points does not matter; each of several
    points at one energy is judged by other energies. Points of infinite variance are passed over, and so are the first
    and the last three energies.
    """
    glitches = np.zeros(len(absorption), dtype=bool)
    order = np.argsort(absorption.energy, kind="stable")
    order = order[absorption.usable[order]]
    energy, mu, noise = absorption.energy[order], absorption.mu[order], np.sqrt(absorption.variance[order])
    curve = _by_energy(energy, mu)
    if len(curve.energy) < FEWEST:
        return glitches
    scatter = np.maximum(noise, np.repeat(_scatter(curve), np.diff(curve.first)))
    for _ in range(ROUNDS):
        found = _find(curve, mu, scatter, edge)
        if not found.any():
            break
        glitches[order[found]] = True
        order, energy, mu, scatter = order[~found], energy[~found], mu[~found], scatter[~found]
        curve = _by_energy(energy, mu)
    return glitches


def _scatter(curve: _Curve) -> Array:
    """Return the standard deviation of one point about the smooth curve, from the energies around, (n,)."""
    n = len(curve.energy)
    some = np.arange(2, n - 2, 1 + n // MANY)
    predicted, spread = _predict(curve, some + BOTH_SIDES, some)
    misfit = np.abs(curve.mu[some] - predicted) / np.sqrt(spread + 1 / curve.count[some])
    windows = sliding_window_view(misfit, min(AROUND, len(misfit)))[:: AROUND // 4]
    middle = some[: len(windows) * AROUND // 4 : AROUND // 4] + (some[min(AROUND, len(some)) - 1] - 2) / 2
    typical = np.interp(np.arange(n), middle, np.median(windows, axis=1)) / MEDIAN_OF_ABSOLUTE_NORMAL
    mu = curve.mu[some]
    return np.maximum(typical, HARMLESS / SIGNIFICANT * float(np.ptp(mu)) + ROUNDING * float(np.abs(mu).max()))


def _find(curve: _Curve, mu: Array, scatter: Array, edge: float | None) -> Flags:
    """Find the worst glitch of each neighbourhood, (m,), among the m points that `curve` was made from."""
    found = np.zeros(len(mu), dtype=bool)
    n = len(curve.energy)
    if n < FEWEST:
        return found
    scatter = np.maximum.reduceat(scatter, curve.first[:-1])
    inner = np.arange(2, n - 2)
    predicted, spread = _predict(curve, inner + BOTH_SIDES, inner)
    suspects = inner[_misfit(curve, inner, predicted) > SUSPECT * scatter[inner] * np.sqrt(1 + spread)]
    if len(suspects) == 0:
        return found

    taken = np.zeros(n, dtype=bool)
    windows = [window for width in range(1, WIDEST + 1) for window in _judge(curve, scatter, suspects, width, edge)]
    for _, start, predictions, tolerances in sorted(windows, key=lambda window: -window[0]):
        stop = start + len(predictions)
        if not taken[start - SIDE : stop + SIDE].any():
            taken[start:stop] = True
            for at, prediction, tolerance in zip(range(start, stop), predictions, tolerances, strict=True):
                points = slice(curve.first[at], curve.first[at + 1])
                found[points] = np.abs(mu[points] - prediction) > tolerance
    return found


def _judge(curve: _Curve, scatter: Array, suspects: Indices, width: int, edge: float | None) -> list[Window]:
    """Return the glitches near `suspects` that span `width` energies.

    The energies at both ends of a glitch have to misfit; the one in the middle of three may lie on the curve.
    """
    start = np.unique(suspects[:, None] + np.arange(-width, 2))  # from one after to one before the suspect
    start = start[(start >= SIDE) & (start + width <= len(curve.energy) - SIDE)]
    start = start[_too_narrow_for_a_line(curve.energy[start - 1], curve.energy[start + width], edge)]
    around = start + np.array([-3, -2, -1, width, width + 1, width + 2])[:, None]

    slope = np.abs(np.diff(curve.mu[around[1:5]], axis=0) / np.diff(curve.energy[around[1:5]], axis=0)).max(axis=0)
    disagreement = np.zeros(len(start))
    for at, by in ((around[2], around[[0, 1, 3, 4]]), (around[3], around[[1, 2, 4, 5]])):
        predicted, spread = _predict(curve, by, at)
        disagreement = np.maximum(disagreement, np.abs(curve.mu[at] - predicted) / np.sqrt(1 + spread))
    explained = np.maximum(DISTINCT * disagreement, ENERGY_JITTER * slope)

    inside = start + np.arange(width)[:, None]
    predicted, spread = _predict(curve, around[1:5, None], inside)
    tolerance = np.sqrt(1 + spread) * np.maximum(SIGNIFICANT * scatter[inside], explained)
    excess = _misfit(curve, inside, predicted) / tolerance
    significance = np.minimum(excess[0], excess[-1])
    return [
        (float(significance[i]), int(start[i]), predicted[:, i], tolerance[:, i]) for i in np.flatnonzero(significance > 1)
    ]


def _too_narrow_for_a_line(start: Array, stop: Array, edge: float | None) -> Flags:
    middle = (start + stop) / 2
    narrowest = NARROWEST * middle
    if edge is not None:
        narrowest = np.maximum(narrowest, NARROWEST_ABOVE * (middle - edge))
        narrowest = np.maximum(narrowest, NARROWEST_BELOW * (edge - PRE_EDGE_PEAKS - middle))
    return stop - start <= narrowest


def _by_energy(energy: Array, mu: Array) -> _Curve:
    apart = np.diff(energy, prepend=-np.inf) >= SAME_ENERGY
    chain = np.flatnonzero(apart)[np.cumsum(apart) - 1]
    steps = np.floor((energy - energy[chain]) / SAME_ENERGY)  # along a chain of points that are close to each other
    first = np.flatnonzero(apart | (np.diff(steps, prepend=0) != 0))
    count = np.diff(first, append=len(energy)).astype(np.float64)
    if len(first) == len(energy):
        return _Curve(energy, mu, count, mu, mu, np.arange(len(energy) + 1))
    return _Curve(
        energy=np.add.reduceat(energy, first) / count,
        mu=np.add.reduceat(mu, first) / count,
        count=count,
        low=np.minimum.reduceat(mu, first),
        high=np.maximum.reduceat(mu, first),
        first=np.append(first, len(energy)),
    )


def _predict(curve: _Curve, by: Indices, at: Indices) -> tuple[Array, Array]:
    """Interpolate `curve` at the energies `at` (…, m) by the cubic through the four energies `by` (4, …, m).

    Returns the prediction and its variance, in units of the variance of one point.
    """
    energy = curve.energy[at]
    away = [energy - curve.energy[neighbour] for neighbour in by]
    product = away[0] * away[1] * away[2] * away[3]
    predicted, spread = np.zeros(product.shape), np.zeros(product.shape)
    for i, neighbour in enumerate(by):
        j, k, m = (other for other in range(4) if other != i)
        apart = (away[j] - away[i]) * (away[k] - away[i]) * (away[m] - away[i])
        weight = product / (away[i] * apart)
        predicted += weight * curve.mu[neighbour]
        spread += weight**2 / curve.count[neighbour]
    return predicted, spread


def _misfit(curve: _Curve, at: Indices, predicted: Array) -> Array:
    """Return the misfit of that point at each energy which lies farthest off."""
    return np.maximum(curve.high[at] - predicted, predicted - curve.low[at])
