"""Anchor energies: measured again in every sweep, so that sweeps can be compared."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.decision.scan_request import ScanRequest
from xas_bluesky.edges import find_edge
from xas_bluesky.errors import SettingsError
from xas_bluesky.spectra import Absorption, Array

Sweeps = NDArray[np.int64]
"""The number of each point's sweep (n,), from 0 on."""

BELOW, SENSITIVE = -12.0, 3.0
"""Default anchors (eV from the edge)."""
NEAR_EDGE = (-5.0, 15.0)
"""Where (eV from the edge) the strongest absorption is looked for, once something is measured."""
TOLERANCE = 0.1
"""A readback this near (eV) is a reading of the anchor: five times what a readback usually misses its setpoint by."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """Hold two energies (eV): below the edge, and where the spectrum is sensitive to the sample's state.

    Raises SettingsError when they are not positive and increasing.
    """

    energy_below: float
    energy_sensitive: float

    def __post_init__(self) -> None:
        if not 0 < self.energy_below < self.energy_sensitive - 2 * TOLERANCE < math.inf:
            raise SettingsError(
                f"anchor: {self.energy_below!r} and {self.energy_sensitive!r} eV; give one energy below the edge, "
                "and a higher one on it"
            )

    @property
    def energies(self) -> tuple[float, float]:
        """Return both (eV), increasing."""
        return self.energy_below, self.energy_sensitive

    def added_to(self, request: ScanRequest, dwell: float | None = None) -> ScanRequest:
        """Return `request` with both in mono order, each for `dwell` s, by default the request's longest."""
        apart = np.abs(request.energy[:, None] - self.energies).min(axis=1) > TOLERANCE
        energy = np.append(request.energy[apart], self.energies)
        seconds = np.append(request.dwell[apart], [dwell or request.dwell.max()] * 2)
        order = np.argsort(energy)
        return ScanRequest(energy[order], seconds[order])


def anchors_for(edge: str, conventional: ScanRequest, measured: Absorption | None = None) -> Anchor:
    """Choose the anchors among the energies of the conventional scan.

    With something `measured` the sensitive one is where most is absorbed near the edge: flat and strong, so quiet, and
    lowered by most changes of the sample. Raises SettingsError when the scan does not reach from well below the edge to
    above it.
    """
    at = find_edge(edge).energy
    energy, sensitive = conventional.energy - at, SENSITIVE
    if measured is not None:
        near = measured.usable & (measured.energy - at >= NEAR_EDGE[0]) & (measured.energy - at <= NEAR_EDGE[1])
        if near.any():
            sensitive = float(measured.energy[near][measured.mu[near].argmax()]) - at
    below, above = (float(energy[np.abs(energy - wanted).argmin()]) for wanted in (BELOW, sensitive))
    if below > NEAR_EDGE[0] or above < NEAR_EDGE[0]:
        raise SettingsError(
            f"anchors: the scan covers {energy[0]:+.1f} to {energy[-1]:+.1f} eV from the {edge} edge; "
            f"let it begin below {NEAR_EDGE[0]:+.0f} eV and end above the edge, or measure without anchors"
        )
    return Anchor(at + below, at + above)


def sweeps_of(energy: Array) -> Sweeps:
    """Tell the sweeps of points in time order apart, energies (n,) eV: a new one begins where the energy goes back down."""
    known = np.flatnonzero(np.isfinite(energy))
    begins = np.zeros(len(energy), dtype=np.int64)
    begins[known[1:]] = np.diff(energy[known]) < -TOLERANCE
    return np.cumsum(begins)
