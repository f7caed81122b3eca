"""Energy calibration by a reference foil, and the shift between repeats."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import Akima1DInterpolator
from scipy.optimize import least_squares

from xas_bluesky.edges import find_edge
from xas_bluesky.errors import SpectrumError
from xas_bluesky.reduction.edge_energy import MIN_STEP, ROUNDING, find_e0, span
from xas_bluesky.spectra import Absorption, Array

FARTHEST = 30.0
"""A foil whose edge lies farther (eV) from its tabulated energy is taken for another foil."""
BEFORE_STEEPEST = 20.0
"""The first inflection of a metal is looked for this far (eV) below its steepest one (Ni: 11 eV)."""
FIRST_SLOPE, FIRST_DIP = 1 / 3, 0.1
"""The slope at a first inflection and its fall after that, relative to the steepest (measured foils: 0.43 and 0.38)."""
MIN_SIGNIFICANCE = 5.0
"""Slope at the inflection, in standard errors (measured foils: at least 15)."""
MAX_SHIFT = 3.0
MAX_SHIFT_ERROR = 0.5
MIN_SHARED = 0.5
"""Share of a scan's variance (a line left out) that the other has to explain."""
MIN_POINTS = 10
BELOW_RISE, ABOVE_RISE = 20.0, 60.0
"""Repeats are aligned this far about where they rise (eV): farther out, drifts weigh more than a shift."""
RISE = 3.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """Hold e0 (eV) of a reference foil as measured, and the shift (eV) that puts it at the tabulated energy."""

    e0: float
    shift: float


def find_shift(reference: Absorption, foil: str) -> Calibration:
    """Find what has to be added to a scan's energies for the edge `foil` ("Cu K") to lie where xraydb has it.

    Tabulated energies are those of the metals' first inflection, and so is e0 here, even if mu rises faster later on (Ni:
    11 eV above). It is found to a fraction of a step, on slopes smoothed over a part of the core-hole width. Points of
    infinite variance are left out, repeated energies averaged. Raises EdgeError for an unknown edge, and SpectrumError
    when the foil's edge is not in the scan, is lost in noise, or lies over 30 eV from its tabulated energy.
    """
    edge = find_edge(foil)
    energy, mu, variance = distinct_points(reference)
    try:
        steepest = find_e0(energy, mu)
    except SpectrumError as error:
        raise SpectrumError(f"reference foil {edge}: {error}") from error
    if abs(steepest - edge.energy) > FARTHEST:
        raise SpectrumError(
            f"reference foil {edge}: mu is steepest at {steepest:.1f} eV, far from this edge at {edge.energy:.1f} eV (scan: "
            f"{span(energy)}); name the foil that is in the beam, or correct the mono's energy first"
        )
    nearest = np.sort(np.abs(energy - steepest).argsort()[:7])
    width = max(0.4 * edge.width, float(np.median(np.diff(energy[nearest]))))
    at = np.arange(steepest - BEFORE_STEEPEST, steepest + 5 * width, 0.2 * width)
    slope, error = _smooth_slope(energy, mu, variance, at, width)
    highest, steep = np.maximum.accumulate(slope), slope.max()
    passed = (highest >= FIRST_SLOPE * steep) & (highest - slope >= FIRST_DIP * steep)
    first = int(slope[: passed.argmax() + 1].argmax())
    if not first or slope[first] <= MIN_SIGNIFICANCE * error[first]:
        raise SpectrumError(f"reference foil {edge}: its edge near {steepest:.1f} eV is lost in noise; measure it longer")
    left, top, right = slope[first - 1 : first + 2]
    e0 = float(at[first] + 0.1 * width * (left - right) / (left - 2 * top + right))
    return Calibration(e0, edge.energy - e0)


def align(scan: Absorption, to: Absorption) -> float | None:
    """Find the shift (eV) that, added to the energies of `scan`, puts its edge on that of `to`, a repeat of it.

    The difference of the two is least there, with a scale, an offset and a slope free. None when they share no structure that
    tells a shift within 3 eV to better than 0.5 eV.
    """
    energy, mu, _ = distinct_points(scan)
    known, values, _ = distinct_points(to)
    if len(known) < MIN_POINTS:
        return None
    rise = np.interp(known + RISE, known, values) - np.interp(known - RISE, known, values)
    edge = known[rise.argmax()]
    low, high = max(edge - BELOW_RISE, known[0] + MAX_SHIFT), min(edge + ABOVE_RISE, known[-1] - MAX_SHIFT)
    inside = (energy >= low) & (energy <= high)
    if inside.sum() < MIN_POINTS:
        return None
    energy, mu = energy[inside], mu[inside]
    curve = Akima1DInterpolator(known, values, method="makima")
    line = np.stack([np.ones(len(energy)), (energy - energy.mean()) / np.ptp(energy)])

    def fit(shift: float) -> tuple[Array, float]:
        terms = np.stack([*line, curve(energy + shift)], axis=1)
        solution = np.linalg.lstsq(terms, mu)[0]
        return mu - terms @ solution, solution[-1]

    def misfit(shift: Array) -> Array:
        return fit(shift[0])[0] / scatter

    straight = mu - line.T @ np.linalg.lstsq(line.T, mu)[0]
    scatter = float(np.sqrt(np.mean(straight**2)))
    if scatter <= ROUNDING * np.abs(mu).max():
        return None
    coarse = np.linspace(-MAX_SHIFT, MAX_SHIFT, 25)
    start = min(coarse, key=lambda shift: (float((misfit(np.array([shift])) ** 2).sum()), abs(shift)))
    found = least_squares(misfit, [start], bounds=(-MAX_SHIFT, MAX_SHIFT), x_scale=0.1, xtol=1e-10, ftol=1e-14)
    shift, left = float(found.x[0]), 2 * found.cost / len(mu)
    error = np.sqrt(left / max(float((found.jac**2).sum()), 1e-300))
    told = left < 1 - MIN_SHARED and error < MAX_SHIFT_ERROR and abs(shift) < MAX_SHIFT - 0.01 and fit(shift)[1] > 0
    return shift if told else None


def distinct_points(absorption: Absorption) -> tuple[Array, Array, Array]:
    """Return energy, mu and variance of the points that weigh something, sorted by energy, repeated energies averaged."""
    order = np.flatnonzero(absorption.usable)
    order = order[np.argsort(absorption.energy[order], kind="stable")]
    energy, mu, weight = absorption.energy[order], absorption.mu[order], 1 / absorption.variance[order]
    starts = np.flatnonzero(np.diff(energy, prepend=-np.inf) >= MIN_STEP)
    if len(starts) == len(order):
        return energy, mu, absorption.variance[order]
    total = np.add.reduceat(weight, starts)
    return np.add.reduceat(weight * energy, starts) / total, np.add.reduceat(weight * mu, starts) / total, 1 / total


def _smooth_slope(energy: Array, mu: Array, variance: Array, at: Array, width: float) -> tuple[Array, Array]:
    """Return the slopes of parabolas fitted about `at` under a Gaussian of `width`, and their errors; 0 without points."""
    near = slice(*np.searchsorted(energy, [at[0] - 5 * width, at[-1] + 5 * width]))
    distance = (energy[near] - at[:, None]) / width
    weight = np.where(np.abs(distance) < 5, np.exp(-0.5 * distance**2), 0.0)
    held = (weight > 0).sum(axis=1) > 3
    terms = np.stack([np.ones_like(distance), distance, distance**2], axis=1)[held]
    weighted = terms * weight[held, None]
    slope, error = np.zeros((2, len(at)))
    share = np.linalg.solve(weighted @ terms.swapaxes(1, 2), weighted)[:, 1] / width
    slope[held], error[held] = share @ mu[near], np.sqrt(share**2 @ variance[near])
    return slope, error
