"""Absorption and its variance from detector channels."""

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np

from xas_bluesky.config import Beam, Counter, Mode, Settings
from xas_bluesky.errors import SpectrumError
from xas_bluesky.reduction.counters import (
    NOT_A_NUMBER,
    NOT_POSITIVE,
    Counts,
    Mask,
    dwell_of,
    has_counter,
    is_reading,
    read_counter,
)
from xas_bluesky.reduction.noise import estimate_noise
from xas_bluesky.spectra import Absorption, Array, Spectrum

Signal = Literal["auto", "transmission", "fluorescence", "electron_yield", "reference", "mu"]

COUNTERS: dict[str, tuple[Counter, Counter]] = {
    "transmission": ("i0", "itrans"),
    "fluorescence": ("fluorescence", "i0"),
    "electron_yield": ("electron_yield", "i0"),
    "reference": ("itrans", "irefer"),
}
LOGARITHMIC = ("transmission", "reference")
AUTO = ("transmission", "fluorescence", "electron_yield", "mu")
NO_ENERGY = "no energy"
BEAM_LOST = "beam lost"
NOT_MOVING = "energy not moving"
GLITCH_WINDOW = "glitch window"
LOW_CURRENT = "ring current low"
RECOVERING = "beam recovering"
LOWEST, HIGHEST = 20.0, 200_000.0
"""eV: a readback beyond is an encoder's dropout."""
LOST_SHARE = 0.01
"""Below this share of the scan's high rate (its 90th percentile) i0 counts as lost: what is left is dark counts."""
MOVED = 0.01
"""eV: a setpoint that changes by more should change the readback."""


def absorption(spectrum: Spectrum, signal: Signal = "auto", settings: Settings | None = None) -> Absorption:
    """Reduce detector channels to absorption and its variance.

    Transmission is ln(i0/itrans), reference ln(itrans/irefer), fluorescence and electron_yield the ratio to i0, mu the
    channel as it is; "auto" takes the mode of the settings, or else the first of transmission, fluorescence,
    electron_yield and mu that has its channels. The variance is that of the counts where the settings say the noise of
    both counters; else it is estimated from repeated points or from scatter. A point that cannot be used keeps its place
    with infinite variance, so that it weighs nothing, and a flag that says why: a reading that is no number or not
    positive (fluorescence and yield may be 0), a saturated counter, lost beam (i0 per dwell below 1 % of what is usual, so
    that dark counts are not taken for absorption), a mono that does not move, a glitch window of the settings, a ring
    current below theirs, and the recovery after it. Raises SpectrumError when the channels for `signal` are missing.
    """
    settings = settings or Settings()
    chosen = choose_signal(spectrum, signal, settings.mode)
    if chosen == "mu":
        mu, counted, remarks = spectrum.channels["mu"], None, ()
        flags = {NOT_A_NUMBER: ~is_reading(mu)}
    else:
        first, second = (read_counter(spectrum, counter, settings) for counter in COUNTERS[chosen])
        flags = {reason: first.bad[reason] | second.bad[reason] for reason in first.bad}
        if chosen not in LOGARITHMIC:
            flags[NOT_POSITIVE] = second.bad[NOT_POSITIVE]  # below the edge a dilute sample may give no photon at all
        remarks = first.remarks + second.remarks
        mu, counted = _combine(chosen, first, second, flags[NOT_A_NUMBER] | flags[NOT_POSITIVE])
        flags[BEAM_LOST] = ~_has_beam(spectrum, first, settings) & ~flags[NOT_POSITIVE] & ~flags[NOT_A_NUMBER]
    flags |= _energy_flags(spectrum, settings)
    flags |= ring_flags(spectrum, settings.beam)
    usable = ~np.logical_or.reduce(list(flags.values()))
    variance, noise = np.full(len(spectrum), np.inf), "unknown"
    if counted is not None:
        variance[usable], noise = counted[usable], _origin(chosen, settings)
    elif usable.any():
        variance[usable], noise = estimate_noise(spectrum.energy[usable], mu[usable], dwell_of(spectrum)[usable])
    raised = {reason: mask for reason, mask in flags.items() if mask.any()}
    return Absorption(spectrum.energy, np.where(is_reading(mu), mu, 0.0), variance, chosen, noise, raised, remarks)


def choose_signal(spectrum: Spectrum, signal: Signal, mode: Mode) -> str:
    """Choose what absorption is made from; raises SpectrumError when its channels are missing."""
    tried = ((mode,) if mode != "auto" else AUTO) if signal == "auto" else (signal,)
    for name in tried:
        if name == "mu" and "mu" in spectrum.channels:
            return name
        if name in COUNTERS and all(has_counter(spectrum, counter) for counter in COUNTERS[name]):
            return name
    needed = " or ".join(" and ".join(COUNTERS.get(name, ("mu",))) for name in tried if name in get_args(Signal))
    raise SpectrumError(
        f"signal {signal!r} needs {needed or 'an unknown channel'}, the spectrum has "
        f"{', '.join(spectrum.channels) or 'no channel'}; add these channels or choose another signal "
        f"({', '.join(get_args(Signal))})"
    )


def _combine(chosen: str, first: Counts, second: Counts, bad: Mask) -> tuple[Array, Array | None]:
    """Return mu, and its variance where both counters have one; 0 where a reading is `bad`."""
    above, below = (np.where(bad, 1.0, counter.counts) for counter in (first, second))
    ratio = above / below
    mu = np.where(bad, 0.0, np.log(ratio) if chosen in LOGARITHMIC else ratio)
    if first.variance is None or second.variance is None:
        return mu, None
    if chosen in LOGARITHMIC:
        return mu, first.variance / above**2 + second.variance / below**2
    return mu, (first.variance + ratio**2 * second.variance) / below**2


def _has_beam(spectrum: Spectrum, otherwise: Counts, settings: Settings) -> Mask:
    i0 = read_counter(spectrum, "i0", settings) if has_counter(spectrum, "i0") else otherwise
    rate = i0.counts / dwell_of(spectrum)
    lit = rate[rate > 0]
    usual = np.quantile(lit, 0.9) if len(lit) else 0.0  # not the median: the beam may be lost for most of a scan
    return rate > LOST_SHARE * usual if len(lit) else np.zeros(len(rate), dtype=bool)


def _energy_flags(spectrum: Spectrum, settings: Settings) -> Mapping[str, Mask]:
    energy = spectrum.energy
    flags = {NO_ENERGY: ~((energy > LOWEST) & (energy < HIGHEST)), GLITCH_WINDOW: np.zeros(len(energy), dtype=bool)}
    for low, high in settings.glitches:
        flags[GLITCH_WINDOW] |= (energy >= low) & (energy <= high)
    setpoint = spectrum.channels.get("energy_setpoint")
    if setpoint is not None:
        known = (np.where(np.isfinite(values), values, np.nan) for values in (setpoint, energy))
        asked, moved = (np.abs(np.diff(values, prepend=np.nan)) for values in known)
        flags[NOT_MOVING] = (asked > MOVED) & (moved == 0)
    return flags


def ring_flags(spectrum: Spectrum, beam: Beam) -> Mapping[str, Mask]:
    """Flag the points across a beam dump, the last one before it too, and those that began within `recovery` s after it."""
    current = spectrum.channels.get("ring_current")
    if current is None or beam.least_current is None:
        return {}
    low = current < beam.least_current
    since = spectrum.channels.get("ring_current_lowest", current) < beam.least_current
    across = low | np.append(since[1:], False)  # it went while the point before was measured, or just after
    recovering = np.zeros(len(spectrum), dtype=bool)
    time = spectrum.channels.get("time")
    if time is not None and beam.recovery:
        last_low = np.maximum.accumulate(np.where(low, time, -np.inf))
        recovering = (time - dwell_of(spectrum) < last_low + beam.recovery) & ~across
    return {LOW_CURRENT: across, RECOVERING: recovering}


def _origin(chosen: str, settings: Settings) -> str:
    return "photons" if all(settings.noise[counter] == "photons" for counter in COUNTERS[chosen]) else "gain"
