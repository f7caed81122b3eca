"""Absorption and its variance from detector channels."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.errors import SpectrumError
from xas_bluesky.spectra import Absorption, Array, Spectrum

Signal = Literal["auto", "transmission", "fluorescence", "reference", "mu"]

CHANNELS: dict[str, tuple[str, ...]] = {
    "transmission": ("i0", "itrans"),
    "fluorescence": ("fluorescence", "i0"),
    "reference": ("itrans", "irefer"),
    "mu": ("mu",),
}
AUTO = ("transmission", "fluorescence", "mu")
BEAM_LOST = 0.01
"""Below this share of the scan's high rate (its 90th percentile) i0 counts as lost: what is left is dark counts."""
MIN_COUNTS = 10.0
"""Whole numbers with a median below this may as well be volts."""
SMALLEST_NOISE = 1e-5
"""No estimate goes below this share of the range of mu: a variance of zero would outweigh every other point."""
MEDIAN_OF_ABSOLUTE_NORMAL = 0.6744897501960817


def absorption(spectrum: Spectrum, signal: Signal = "auto") -> Absorption:
    """Reduce detector channels to absorption and its variance.

    Transmission is ln(i0/itrans), reference ln(itrans/irefer), fluorescence the ratio to i0, mu the channel as it is;
    "auto" takes the first of transmission, fluorescence and mu that has its channels. Counts (whole numbers) have
    Poisson variance. For currents, corrected counts and mu, one variance for all points is estimated from their
    scatter; it is infinite below 5 energies. A point with a reading that is not positive, or taken while the beam was
    lost (i0 per dwell below 1 % of the scan's median), keeps its place with mu 0 and infinite variance: it weighs
    nothing, and a dark reading is not taken for absorption.
    Raises SpectrumError when the channels for `signal` are missing.
    """
    chosen = _choose(spectrum, signal)
    channels = [spectrum.channels[name] for name in CHANNELS[chosen]]
    usable = np.isfinite(channels).all(axis=0)
    if chosen == "mu":
        counted, mu = False, np.where(usable, channels[0], 0.0)
    else:
        usable &= (np.array(channels) > 0).all(axis=0) & _has_beam(spectrum, channels[0])
        counted = all(_are_counts(readings[usable]) for readings in channels)
        first, second = (np.where(usable, readings, 1.0) for readings in channels)
        mu = np.where(usable, first / second if chosen == "fluorescence" else np.log(first / second), 0.0)

    variance = np.full(len(spectrum), np.inf)
    if counted:
        relative = 1 / channels[0][usable] + 1 / channels[1][usable]
        variance[usable] = relative * mu[usable] ** 2 if chosen == "fluorescence" else relative
    else:
        variance[usable] = _estimate_variance(spectrum.energy[usable], mu[usable])
    return Absorption(spectrum.energy, mu, variance)


def _choose(spectrum: Spectrum, signal: Signal) -> str:
    tried = AUTO if signal == "auto" else (signal,)
    for name in tried:
        if name in CHANNELS and all(channel in spectrum.channels for channel in CHANNELS[name]):
            return name
    needed = " or ".join(" and ".join(CHANNELS[name]) for name in tried if name in CHANNELS) or "an unknown channel"
    raise SpectrumError(
        f"signal {signal!r} needs {needed}, the spectrum has {', '.join(spectrum.channels) or 'no channel'}; add these "
        f"channels or choose another signal (auto, {', '.join(CHANNELS)})"
    )


def _has_beam(spectrum: Spectrum, otherwise: Array) -> NDArray[np.bool_]:
    dwell = spectrum.channels.get("dwell", np.ones(len(spectrum)))
    rate = np.divide(spectrum.channels.get("i0", otherwise), dwell, out=np.zeros(len(spectrum)), where=dwell > 0)
    lit = rate[rate > 0]
    usual = np.quantile(lit, 0.9) if len(lit) else 0.0  # not the median: the beam may be lost for most of a scan
    return rate > BEAM_LOST * usual if len(lit) else np.zeros(len(rate), dtype=bool)


def _are_counts(readings: Array) -> bool:
    return len(readings) > 0 and bool(np.median(readings) >= MIN_COUNTS and (readings == np.rint(readings)).all())


def _estimate_variance(energy: Array, mu: Array) -> float:
    """Estimate the variance of independent noise on a smooth curve.

    It is the median misfit of each point to a cubic through its four neighbours. A straight line through two would take
    a white line's curvature for noise (an edge sampled at 0.2 eV with 0.01 % noise: up to 20 times too much).
    """
    energy, first = np.unique(energy, return_index=True)
    mu = mu[first]
    if len(energy) < 5 or np.ptp(mu) == 0:
        return np.inf
    neighbours = np.arange(2, len(energy) - 2)[:, None] + np.array([-2, -1, 1, 2])
    around = energy[neighbours]
    weights = np.ones_like(around)
    for i in range(4):
        for j in set(range(4)) - {i}:
            weights[:, i] *= (energy[2:-2] - around[:, j]) / (around[:, i] - around[:, j])
    misfit = (mu[2:-2] - (weights * mu[neighbours]).sum(axis=1)) / np.sqrt(1 + (weights**2).sum(axis=1))
    noise = np.median(np.abs(misfit)) / MEDIAN_OF_ABSOLUTE_NORMAL
    return float(max(noise, SMALLEST_NOISE * np.ptp(mu)) ** 2)
