"""Whole measured spectra as references, split into those that may be learned from and those that are only reported."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.interpolate import make_smoothing_spline

from xas_bluesky.edges import find_edge
from xas_bluesky.errors import XASError
from xas_bluesky.files import read_spectrum
from xas_bluesky.reduction import absorption, normalize
from xas_bluesky.reduction.noise import estimate_noise
from xas_bluesky.spectra import Absorption, Array

AWAY = np.arange(-30.0, 60.1, 0.25)
"""eV from e0: the grid."""
STEP = 0.25
LIMIT_RMSE, LIMIT_EDGE = 0.005, 0.1
QUIET = 0.002
PRE_EDGE = (-100.0, -15.0)
"""eV from e0: where the noise of a file is read off, from the misfit of each point to a cubic through four neighbours."""
MARGIN = (-60.0, 80.0)
"""eV from e0: what the smoothing spline goes through."""
LEAST_APART = 0.02
"""eV: points closer than this are one."""
NEAR_EDGE = 3.0
"""eV from the file's e0: where the reference's edge and a recovered spectrum's are looked for."""
HALF_WIDTH = 0.35
"""eV: of the Lorentzian that smooths the slope there, about what xraylarch takes between 2 and 13 keV."""
CONDITIONS = re.compile(r"_(?:rt|roomt|\d+k|xanes)")


@dataclass(frozen=True)
class Reference:
    """Hold one file: smoothed `mu` on `energy` (361,) eV, and `measured`, the same with the file's `noise` added once."""

    name: str
    sample: str
    tuned: bool
    energy: Array
    mu: Array
    measured: Array
    noise: float
    tabulated: float

    def points(self, indices: Array) -> Absorption:
        """Return what is measured at these places of the grid."""
        return Absorption(self.energy[indices], self.measured[indices], np.full(len(indices), self.noise**2))

    def rmse(self, curves: Array) -> Array:
        """Return the error of each curve (…, 361)."""
        return np.sqrt(((curves - self.mu) ** 2).mean(axis=-1))

    def edge_error(self, curves: Array) -> Array:
        """Return how far (eV) the edge of each curve (…, 361) lies from the reference's."""
        return np.abs(edge_of(curves) - edge_of(self.mu))

    def reached(self, curve: Array) -> bool:
        """Say whether a recovered spectrum (361,) is good enough."""
        return bool(self.rmse(curve) < LIMIT_RMSE and self.edge_error(curve) < LIMIT_EDGE)


def references(folder: Path) -> Iterator[Reference]:
    """Yield every file below `folder` that covers the grid and is quiet enough."""
    for path in sorted(folder.rglob("*.xdi")):
        try:
            spectrum = read_spectrum(path)
            scan = normalize(absorption(spectrum))
        except XASError:
            continue
        away = scan.energy - scan.e0
        below = (away > PRE_EDGE[0]) & (away < PRE_EDGE[1])
        if away[0] > AWAY[0] or away[-1] < AWAY[-1] or below.sum() < 6:
            continue
        noise = float(np.sqrt(np.median(estimate_noise(away[below], scan.norm[below], np.ones(below.sum()))[0])))
        if not noise < QUIET:
            continue
        kept = (away > MARGIN[0]) & (away < MARGIN[1]) & (np.diff(away, prepend=-np.inf) > LEAST_APART)
        mu = smoothed(away[kept], scan.norm[kept], noise)
        element = str(spectrum.metadata["edge"]).split()[0]
        sample = f"{element} {CONDITIONS.split(path.stem.lower())[0]}"
        digest = hashlib.sha256(str(path.relative_to(folder)).encode()).digest()
        drawn = np.random.default_rng(int.from_bytes(digest[:8], "little")).normal(size=len(AWAY))
        tuned = hashlib.sha256(sample.lower().encode()).digest()[-1] % 2 == 0
        tabulated = find_edge(str(spectrum.metadata["edge"])).energy
        yield Reference(str(path.relative_to(folder)), sample, tuned, scan.e0 + AWAY, mu, mu + noise * drawn, noise, tabulated)


def smoothed(away: Array, norm: Array, noise: float) -> Array:
    """Return on the grid the smoothest natural cubic spline that stays as near to the points as their noise."""
    low, high = -8.0, 6.0
    for _ in range(30):
        middle = 0.5 * (low + high)
        rough = norm - make_smoothing_spline(away, norm, lam=10**middle)(away)
        low, high = (low, middle) if np.sqrt((rough**2).mean()) > noise else (middle, high)
    return make_smoothing_spline(away, norm, lam=10**low)(AWAY)


def edge_of(curves: Array) -> Array:
    """Find where each curve (…, 361) rises fastest near e0, (…,) eV from e0; the slope is smoothed as for xraylarch's e0."""
    rise = np.gradient(curves, STEP, axis=-1) @ SMOOTHING
    inside = np.flatnonzero(np.abs(AWAY) <= NEAR_EDGE)
    top = rise[..., 1:-1].argmax(axis=-1)[..., None] + 1
    before, at, after = (np.take_along_axis(rise, top + step, axis=-1)[..., 0] for step in (-1, 0, 1))
    bend = np.minimum(before - 2 * at + after, -1e-12)
    return AWAY[inside][top[..., 0] - 1] + 0.5 * STEP * np.clip((before - after) / bend, -1, 1)


def _smoothing() -> Array:
    lorentzian = 1 / (1 + (np.subtract.outer(AWAY, AWAY) / HALF_WIDTH) ** 2)
    inside = np.flatnonzero(np.abs(AWAY) <= NEAR_EDGE)
    return (lorentzian / lorentzian.sum(axis=0))[:, inside[0] - 1 : inside[-1] + 2]


SMOOTHING: Array = _smoothing()
