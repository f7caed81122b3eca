"""A scan as it is asked for: energies in mono order, each with its dwell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xas_bluesky.decision.scan_words import K2_PER_EV, Word, Words, energy_of, expected, k_of, read_words
from xas_bluesky.errors import SettingsError
from xas_bluesky.spectra import Array

SAME_POINT = 0.05
"""Energies this close (eV) are one point: a readback is never quite the setpoint."""


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """Hold the points to measure: `energy` (n,) eV, increasing (mono order), and `dwell` (n,) s.

    Raises SettingsError when there are none, or they are not finite, increasing and of positive dwell.
    """

    energy: Array
    dwell: Array

    def __post_init__(self) -> None:
        energy, dwell = np.array(self.energy, dtype=np.float64), np.array(self.dwell, dtype=np.float64)
        if energy.ndim != 1 or len(energy) == 0 or energy.shape != dwell.shape:
            raise SettingsError(
                f"scan request: got energies of shape {energy.shape} and dwells of shape {dwell.shape}; "
                "give at least one energy, and one dwell per energy"
            )
        if not (np.all(np.isfinite(energy)) and energy[0] > 0 and np.all(np.diff(energy) > 0)):
            raise SettingsError("scan request: energies must be finite, positive and increasing (eV)")
        if not (np.all(np.isfinite(dwell)) and np.all(dwell > 0)):
            raise SettingsError("scan request: every dwell must be a finite, positive number of seconds")
        for name, array in (("energy", energy), ("dwell", dwell)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.energy)


def regions(e0: float, bounds: Words, steps: Words, times: Words) -> ScanRequest:
    """Build an edge-relative step scan, region by region.

    `bounds` (r + 1): eV from `e0` (eV), or with the suffix k the wave number in Å⁻¹, increasing; `steps` (r): eV, or with
    the suffix k in Å⁻¹; `times` (r, or one for all): seconds a point, with the suffix k times the point's wave number. A
    text of numbers, as in "-30 -10 30 12k", or a list. A bound is measured once, as the first point of the region above
    it; the last bound closes the scan. Where a step does not divide its region, the region's last step is shorter. Raises
    SettingsError, which names the wrong argument.
    """
    limits = [_offset(word) for word in read_words("bounds", bounds)]
    step, time = read_words("steps", steps), read_words("times", times)
    time = time * len(step) if len(time) == 1 else time
    if len(step) == 0 or len(limits) != len(step) + 1 or len(time) != len(step):
        raise SettingsError(
            f"scan regions: got {len(limits)} bounds, {len(step)} steps and {len(time)} times; "
            "for r regions give r + 1 bounds, r steps, and r times or a single one"
        )
    if np.any(np.diff(limits) <= 0):
        raise SettingsError(
            f"scan regions: bounds {bounds!r} are {np.round(limits, 3).tolist()} eV from the edge and must increase"
        )
    for name, words in (("steps", step), ("times", time)):
        values = [word.value for word in words]
        if min(values) <= 0:
            raise SettingsError(f"scan regions: {name} {values} must be positive; {expected(name)}")
    offsets: list[Array] = []
    dwells: list[Array] = []
    for low, high, size, seconds in zip(limits, limits[1:], step, time, strict=False):
        offsets.append(_points(low, high, size))
        dwells.append(_dwells(offsets[-1], seconds))
    last = np.array(limits[-1:])
    return ScanRequest(e0 + np.concatenate([*offsets, last]), np.concatenate([*dwells, _dwells(last, time[-1])]))


def _offset(bound: Word) -> float:
    if bound.is_k and bound.value < 0:
        raise SettingsError(
            f"scan regions: bounds: {bound.value:g}k is below the edge, where there is no k; {expected('bounds')}"
        )
    return energy_of(bound.value) if bound.is_k else bound.value


def _points(low: float, high: float, step: Word) -> Array:
    """Return the points of a region (eV from the edge), without its upper bound."""
    if not step.is_k:
        points: Array = low + step.value * np.arange(_count(high - low, step.value), dtype=np.float64)
        return points
    if low < 0:
        raise SettingsError(
            f"scan regions: steps: {step.value:g}k begins {low:g} eV from the edge, without a k below it; {expected('steps')}"
        )
    first = k_of(low)
    k: Array = first + step.value * np.arange(_count(k_of(high) - first, step.value), dtype=np.float64)
    offsets: Array = k * k / K2_PER_EV
    return offsets


def _count(width: float, step: float) -> int:
    # rounded, so that a region of 40 eV in steps of 0.2 has 200 points in spite of binary fractions
    return int(np.ceil(np.round(width / step, 6)))


def _dwells(offsets: Array, seconds: Word) -> Array:
    if not seconds.is_k:
        return np.full(len(offsets), seconds.value)
    if offsets[0] <= 0:
        raise SettingsError(
            f"scan regions: times: {seconds.value:g}k is no time at {offsets[0]:g} eV from the edge; give a region that "
            f"begins there seconds without k; {expected('times')}"
        )
    return seconds.value * np.sqrt(K2_PER_EV * offsets)


def widest_gaps(scan: ScanRequest, measured: Sequence[float], count: int) -> ScanRequest | None:
    """Return up to `count` points of `scan`, each where it is farthest from those measured (eV); None if none is left."""
    done = np.array([-np.inf, *measured])
    chosen: list[int] = []
    distance = np.abs(scan.energy[:, None] - done).min(axis=1)
    while len(chosen) < count and distance.max() > SAME_POINT:
        best = int(distance.argmax())
        chosen.append(best)
        distance = np.minimum(distance, np.abs(scan.energy - scan.energy[best]))
    chosen.sort()
    return ScanRequest(scan.energy[chosen], scan.dwell[chosen]) if chosen else None
