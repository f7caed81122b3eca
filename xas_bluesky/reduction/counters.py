"""Counters as they should have counted: dead time and dark counts corrected, elements added up, with their variance."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.config import Counter, Settings
from xas_bluesky.errors import SpectrumError
from xas_bluesky.spectra import Array, Spectrum

Mask = NDArray[np.bool_]

NOT_A_NUMBER = "not a number"
NOT_POSITIVE = "counts not positive"
SATURATED = "saturated"
NO_READING = 9e37
"""SCPI instruments send 9.9e37 and more for a reading that is none."""
LEAST = 1e-100
"""What is less is zero to any counter."""
SHORTEST, LONGEST = 1e-9, 1e9
"""What is no dwell in any unit."""
TOO_DEAD = 0.9
"""An element that is dead for more than this share of the time cannot be corrected."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Hold one counter's corrected counts (n,) and their `variance` (n,), None where the settings do not say it.

    `bad`: reason -> (n,), the readings that cannot be believed; `remarks`: what is to be said of the counter.
    """

    counts: Array
    variance: Array | None
    bad: Mapping[str, Mask]
    remarks: tuple[str, ...] = ()


def is_reading(values: Array) -> Mask:
    """Say which of `values` are numbers that something was measured as."""
    return np.abs(values) < NO_READING


def has_counter(spectrum: Spectrum, name: str) -> bool:
    """Say whether the spectrum holds the counter, or an element of it."""
    return name in spectrum.channels or bool(_elements(spectrum, name))


def dwell_of(spectrum: Spectrum) -> Array:
    """Return the seconds (n,) each point was counted for; 1 where they were not recorded."""
    dwell = spectrum.channels.get("dwell", np.ones(len(spectrum)))
    return np.where((dwell > SHORTEST) & (dwell < LONGEST), dwell, 1.0)


def read_counter(spectrum: Spectrum, name: Counter, settings: Settings) -> Counts:
    """Correct the counter called `name` for dead time and dark counts (the run's own first), and add its elements up.

    An element that never counts while others do is left out, and said in the remarks. The variance of a counter of
    photons is their number; of others, counts times counts per photon. Raises SpectrumError when it is not there.
    """
    dwell = dwell_of(spectrum)
    elements = {name: "_1"} if name in spectrum.channels else _elements(spectrum, name)
    if not elements:
        raise SpectrumError(f"no counter {name} among the channels {', '.join(spectrum.channels) or '(none)'}")
    read = {element: np.where(is_reading(spectrum.channels[element]), spectrum.channels[element], 0.0) for element in elements}
    silent = [element for element, counts in read.items() if not counts.any()]
    all_silent = len(silent) == len(elements)
    total, variance = np.zeros(len(spectrum)), np.zeros(len(spectrum))
    bad = {reason: np.zeros(len(spectrum), dtype=bool) for reason in (NOT_A_NUMBER, NOT_POSITIVE, SATURATED)}
    for element, suffix in elements.items():
        raw, counts = spectrum.channels[element], read[element]
        if element in silent and not all_silent:
            continue
        rate = counts / dwell
        live = _live_share(spectrum, suffix, rate, settings) if name == "fluorescence" else np.ones(len(spectrum))
        bad[NOT_A_NUMBER] |= ~is_reading(raw) | ~np.isfinite(live)
        bad[SATURATED] |= (rate >= settings.saturation.get(name, np.inf)) | (live < 1 - TOO_DEAD)
        factor = 1 / np.clip(np.nan_to_num(live, nan=1.0), 1 - TOO_DEAD, None)
        photons = np.maximum(counts, 1.0)
        total += counts * factor - _dark(spectrum, element, settings.dark.get(name, 0.0)) * dwell
        variance += factor**2 * photons * _counts_per_photon(name, settings)
    bad[NOT_POSITIVE] = (total < LEAST) & ~bad[NOT_A_NUMBER]
    said = "never counts" if all_silent else "never counts; it is left out"
    remarks = tuple(f"{element} {said}" for element in silent if len(spectrum))
    return Counts(total, variance if name in settings.noise else None, bad, remarks)


def _dark(spectrum: Spectrum, element: str, otherwise: float) -> Array | float:
    """Return the dark counts/s, (n,) where the run measured them; NaN of a point is that of a run without."""
    measured = spectrum.channels.get(f"dark_{element}")
    return otherwise if measured is None else np.where(np.isfinite(measured), measured, otherwise)


def _elements(spectrum: Spectrum, name: str) -> dict[str, str]:
    found = [channel for channel in spectrum.channels if channel.rpartition("_")[0] == name and channel[-1].isdigit()]
    return {channel: channel.removeprefix(name) for channel in found}


def _live_share(spectrum: Spectrum, suffix: str, rate: Array, settings: Settings) -> Array:
    """Return the share (n,) of its time for which an element could count."""
    incoming, outgoing = (spectrum.channels.get(f"{kind}{suffix}") for kind in ("icr", "ocr"))
    if incoming is not None and outgoing is not None:
        share = np.where(incoming == 0, 1.0, np.nan)
        return np.divide(outgoing, incoming, out=share, where=np.isfinite(outgoing) & np.isfinite(incoming) & (incoming > 0))
    return 1 - rate * settings.fluorescence.dead_time


def _counts_per_photon(name: Counter, settings: Settings) -> float:
    gain = settings.noise.get(name, "photons")
    return 1.0 if gain == "photons" else float(gain)
