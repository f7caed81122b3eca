"""The edge energy of a scan, by xraylarch's definition (docs/decisions/0003-normalization.md)."""

import numpy as np
from numpy.polynomial import Polynomial

from xas_bluesky.errors import SpectrumError
from xas_bluesky.spectra import Array

MIN_POINTS = 14
"""Fewer leave no interior point to look for the edge at."""
MIN_STEP = 0.0005
"""Two points closer than this (eV) are one energy measured twice."""
MIN_ABOVE_EDGE = 10.0
"""A scan that ends closer to e0 (eV) ends in the white line."""
END = 3.0
MAX_SLOPE_AT_END = 0.5
"""Slope of the scan's last END eV (at least MIN_END_POINTS), relative to that at e0 (whole measured scans: at most 0.07)."""
MIN_END_POINTS = 5
MIN_RISE = 0.5
"""Range of mu within 5 eV of e0, relative to that below e0, less a line (whole measured scans: at least 0.74)."""
ROUNDING = 1e-9


def find_e0(energy: Array, mu: Array) -> float:
    """Find e0, the energy (eV) where mu rises fastest, passing over single-point glitches.

    `energy` (n,) eV, increasing; `mu` (n,). The search is xraylarch's: once on the derivative as it is, then near there
    on the derivative smoothed by a Lorentzian. Raises SpectrumError for fewer than 14 points, energies that do not
    increase and scans without a whole edge (a strong pre-edge peak, the scan cut off above it, still passes for one).
    Source: xraylarch 2026.3.1, `find_e0` (doi:10.1088/1742-6596/430/1/012007).
    """
    check_points(energy, mu, at_least=MIN_POINTS)
    found = _steepest(_slope(energy[:-1], mu[:-1]))
    start, stop = max(3, found - 75), min(found + 75, len(energy) - 3)
    first = energy[found]
    if found < 0.05 * len(energy):  # a glitch at the start, as when the beam comes up
        first, start, stop = energy.mean(), max(3, found - 20), len(energy) - 3
    width = 0.5 * (np.clip(_energy_step(energy[:-1]), 0.01, 1.0) + np.clip(first / 25000, 0.01, 1.0))
    near, slope = energy[start : stop - 1], _slope(energy[start : stop - 1], mu[start : stop - 1])
    slope = _smooth(near, slope, float(width))
    found = _steepest(slope) or 2
    e0 = float(near[found])
    _check_edge(energy, mu, e0, steepest=float(slope[found]))
    return e0


def _check_edge(energy: Array, mu: Array, e0: float, steepest: float) -> None:
    """Raise SpectrumError when mu does not rise at e0 as it does at an edge, or has not finished rising.

    The limits were set on 206 measured spectra, whole (all pass) and cut off at various energies.
    """
    end = -max(MIN_END_POINTS, int((energy > energy[-1] - END).sum()))
    slope_at_end = Polynomial.fit(energy[end:], mu[end:], 1).deriv()(energy[-1])
    if energy[-1] - e0 < MIN_ABOVE_EDGE or slope_at_end > MAX_SLOPE_AT_END * steepest:
        raise SpectrumError(
            f"no whole edge in the scan ({span(energy)}): mu is steepest at {e0:.1f} eV, but rises on to "
            f"the end or ends within {MIN_ABOVE_EDGE:g} eV; measure further or give e0"
        )
    below, near = energy < e0, np.abs(energy - e0) < 5
    below[0] = False  # often bad
    bent = mu - Polynomial.fit(energy[below], mu[below], 1)(energy)
    if np.ptp(bent[near]) <= MIN_RISE * np.ptp(bent[below]) + ROUNDING * np.abs(mu).max():
        raise SpectrumError(
            f"no edge in the scan ({span(energy)}): mu wanders as much below {e0:.1f} eV, where it is steepest, as it "
            "rises there; measure across the edge or give e0"
        )


def check_points(energy: Array, mu: Array, at_least: int) -> None:
    """Raise SpectrumError unless there are `at_least` points, all finite, at energies that increase."""
    if len(energy) < at_least:
        raise SpectrumError(f"{len(energy)} usable points are too few, at least {at_least} are needed; measure more")
    if not (np.isfinite(energy).all() and np.isfinite(mu).all()):
        raise SpectrumError("energy or mu holds NaN or infinite values; leave those points out")
    close = np.flatnonzero(np.diff(energy) < MIN_STEP)
    if len(close):
        raise SpectrumError(
            f"energies do not increase after {energy[close[0]]:.4f} eV; sort them and merge repeated points first"
        )


def span(energy: Array) -> str:
    """Write the range of `energy` for a message."""
    return f"{energy[0]:.1f} to {energy[-1]:.1f} eV"


def _slope(energy: Array, mu: Array) -> Array:
    return np.gradient(mu) / np.gradient(energy)


def _steepest(slope: Array) -> int:
    """Find the steepest point whose two neighbours are steep as well; 0 if there is none."""
    margin = max(3, int(0.02 * len(slope)))
    inner = slope[margin:-margin]
    relative = (slope - inner.min()) / max(1e-10, float(np.ptp(inner)))
    threshold = 0.6 if len(slope) > 20 else 0.3
    steep = relative > threshold
    if steep.sum() < 3:
        steep = relative > threshold / 2
        if steep.sum() <= 3:
            steep = relative > threshold / 4
    if steep.sum() < 3:
        steep = np.ones(len(slope), dtype=bool)
    chosen = np.zeros(len(slope))
    chosen[1:-1] = np.where(steep[:-2] & steep[1:-1] & steep[2:], relative[1:-1], 0.0)
    chosen[:margin] = 0.0
    chosen[len(slope) - margin + 1 :] = 0.0
    return int(chosen.argmax())


def _energy_step(energy: Array) -> float:
    """Average the 10 smallest energy steps (eV), the smallest hundredth left out; 1 eV for short scans."""
    skipped = int(0.01 * len(energy))
    if not skipped:
        return 1.0
    steps = np.sort(np.diff(energy[skipped : -skipped - 1]))
    return float(steps[skipped : skipped + 10].mean())


def _smooth(energy: Array, values: Array, width: float) -> Array:
    """Convolve with a Lorentzian of half width `width` (eV) on a grid of that step, mirrored at the ends."""
    first, last = (width * int((end + pad * width) / width) for end, pad in ((energy[0], -5), (energy[-1], 5)))
    n = min(1 + int((last - first + 0.1 * width) / width), 50 * len(energy))
    grid = np.linspace(first, last, n)
    on_grid = np.interp(grid, energy, values)
    lorentzian = 1 / (1 + (np.arange(2 * n) - n) ** 2.0)
    mirrored = np.concatenate((on_grid[:0:-1], on_grid, on_grid[::-1]))
    spectrum = np.fft.rfft(mirrored, 3 * n) * np.fft.rfft(lorentzian / lorentzian.sum(), 3 * n)
    smooth = np.fft.irfft(spectrum, 3 * n)[2 * n - 1 : 3 * n - 1]  # beyond the kernel's length nothing wraps around
    return np.interp(energy, grid, smooth)
