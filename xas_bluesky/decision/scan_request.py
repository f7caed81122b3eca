"""A scan as it is asked for: energies in mono order, each with its dwell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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


def regions(e0: float, bounds: Sequence[float], steps: Sequence[float], times: Sequence[float] | float) -> ScanRequest:
    """Build an edge-relative step scan, region by region.

    `bounds` (r + 1,) eV relative to `e0` (eV), increasing; `steps` (r,) eV; `times` (r,) s per point, or one for all. A
    bound is measured once, as the first point of the region above it; the last bound closes the scan. Where a step does
    not divide its region, the region's last step is shorter. Raises SettingsError, which names the wrong argument.
    """
    edges, step = _numbers("bounds", bounds), _numbers("steps", steps)
    time = _numbers("times", [times] * len(step) if isinstance(times, int | float) else times)
    if len(step) == 0 or len(edges) != len(step) + 1 or len(time) != len(step):
        raise SettingsError(
            f"scan regions: got {len(edges)} bounds, {len(step)} steps and {len(time)} times; "
            "for r regions give r + 1 bounds, r steps, and r times or a single one"
        )
    if np.any(np.diff(edges) <= 0):
        raise SettingsError(f"scan regions: bounds {edges.tolist()} must increase")
    for name, values in (("steps", step), ("times", time)):
        if np.any(values <= 0):
            raise SettingsError(f"scan regions: {name} {values.tolist()} must be positive")
    # rounded, so that a region of 40 eV in steps of 0.2 has 200 points in spite of binary fractions
    counts = np.ceil(np.round(np.diff(edges) / step, 6)).astype(int)
    offsets = [low + size * np.arange(count) for low, size, count in zip(edges, step, counts, strict=False)]
    return ScanRequest(energy=e0 + np.concatenate([*offsets, edges[-1:]]), dwell=np.append(np.repeat(time, counts), time[-1]))


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


def _numbers(name: str, values: Sequence[float]) -> Array:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"scan regions: {name} {values!r} must be numbers") from error
    if array.ndim != 1 or not np.all(np.isfinite(array)):
        raise SettingsError(f"scan regions: {name} {values!r} must be a list of finite numbers")
    return array
