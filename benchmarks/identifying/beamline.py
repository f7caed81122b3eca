"""A beamline that is simulated without a RunEngine, for thousands of runs: the same rates and motion as beamline_sim's."""

from collections.abc import Callable

import numpy as np

from xas_bluesky.beamline_sim import BeamlineSettings
from xas_bluesky.beamline_sim.settings import COUNTING
from xas_bluesky.decision import ScanRequest, Spent
from xas_bluesky.reduction import absorption
from xas_bluesky.spectra import Absorption, Array, Spectrum


class Beamline:
    """Measure a sample's fluorescence point by point.

    `mu`: energies (n,) eV -> absorption (n,), edge-step-normalized; `start`: where the mono stands, eV. Counts are Poisson
    numbers; a move takes its distance over the speed, and the settling; the sample is exposed during the dwell only.
    """

    def __init__(self, mu: Callable[[Array], Array], start: float, settings: BeamlineSettings) -> None:
        self.settings = settings
        self._mu = mu
        self._position = start
        self._noise = np.random.default_rng(settings.seed)
        self._columns = {name: np.empty(0) for name in ("energy", "fluorescence", "i0", "dwell", "ended")}

    def measure(self, request: ScanRequest) -> None:
        """Measure the requested points, in their order."""
        settings, dwell = self.settings, request.dwell
        setpoints = np.concatenate([[self._position], request.energy])
        distance = np.abs(np.diff(setpoints))
        moving = distance / settings.speed + np.where(distance > 0, settings.settle, 0.0)
        energy = request.energy + settings.readback_deviation * self._noise.standard_normal(len(request))
        absorbed = self._mu(energy - settings.energy_offset) + settings.background_ratio
        i0 = settings.flux * settings.i0_efficiency
        fluorescence = i0 * settings.fluorescence_yield * np.maximum(absorbed, 0.0)
        found = {
            "energy": energy,
            "fluorescence": self._noise.poisson((fluorescence + settings.dark_rate) * dwell).astype(np.float64),
            "i0": self._noise.poisson((i0 + settings.dark_rate) * dwell).astype(np.float64),
            "dwell": np.array(dwell),
            "ended": self.spent().seconds + np.cumsum(moving + dwell),
        }
        self._columns = {name: np.concatenate([before, found[name]]) for name, before in self._columns.items()}
        self._position = float(request.energy[-1])

    def spent(self, until: float = np.inf) -> Spent:
        """Return what was used up to some seconds (s) after the start; a point counts when it has ended."""
        ended = self._columns["ended"]
        points = int(np.searchsorted(ended, until, side="right"))
        dwell = self._columns["dwell"][:points].sum()
        return Spent(
            points=points, seconds=float(ended[points - 1]) if points else 0.0, photons=float(self.settings.flux * dwell)
        )

    def absorption(self, until: float = np.inf) -> Absorption:
        """Reduce the points that had ended by then, as a session would."""
        points = self.spent(until).points
        channels = {name: self._columns[name][:points] for name in ("fluorescence", "i0", "dwell")}
        return absorption(Spectrum(self._columns["energy"][:points], channels), settings=COUNTING)
