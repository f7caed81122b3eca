"""What the beam makes of the samples: how the simulated detectors count, and with what noise."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from xas_bluesky.beamline_sim.sample import Sample, Spot, broadened, plain_edge
from xas_bluesky.beamline_sim.settings import BeamlineSettings
from xas_bluesky.edges import Edge
from xas_bluesky.errors import SettingsError


class Beam:
    """Shine on samples, a spot each in `spots`, and count; `noise` is that of the counting.

    Raises SpectrumError for a known spectrum that does not hold the edge, SettingsError for no sample at all.
    """

    def __init__(self, sample: Sample | Sequence[Sample], edge: Edge, settings: BeamlineSettings, noise: Generator) -> None:
        samples = sample if isinstance(sample, Sequence) else [sample]
        if not samples:
            raise SettingsError("simulated beamline: no sample; give at least one known spectrum")
        self.spots = [Spot(each, edge, settings.resolution) for each in samples]
        self._reference = broadened(plain_edge(edge), settings.resolution)
        self._settings = settings
        self._noise = noise

    def rates(self, spot: Spot, photon_energy: float, hours: float, channels: Sequence[str]) -> dict[str, float]:
        """Return the counts/s of `channels` (of i0, fluorescence, itrans, irefer) with full beam and without dark counts.

        `photon_energy` (eV) is the true one, `hours` how long the beamline runs.
        """
        settings, at = self._settings, np.array([photon_energy])
        absorbed = float(spot.mu(at)[0]) + settings.background_ratio
        incident = settings.flux * settings.i0_efficiency
        found = {"i0": incident * math.exp(settings.i0_drift * hours)}
        if "fluorescence" in channels:
            # a normalized pre-edge is noisy around 0: with little background its fluorescence could turn negative
            found["fluorescence"] = incident * settings.fluorescence_yield * max(absorbed, 0.0)
        if "itrans" in channels or "irefer" in channels:
            found["itrans"] = incident * math.exp(-absorbed * settings.edge_step)
            found["irefer"] = found["itrans"] * math.exp(-float(self._reference(at)[0]))
        return {channel: found[channel] for channel in channels}

    def expected(
        self, spot: Spot, energy: float, lit: float, seconds: float, hours: float, channels: Sequence[str]
    ) -> dict[str, float]:
        """Expose a spot, and return the counts expected of each channel.

        `energy` (eV): the mono's, calibration error included; `lit`: seconds of full beam within the `seconds` counted. The
        rates are those of the spot as it is half way.
        """
        settings, before = self._settings, spot.photons
        spot.photons = before + settings.flux * lit / 2
        rates = self.rates(spot, energy - settings.energy_offset - settings.energy_drift * hours, hours, channels)
        spot.photons = before + settings.flux * lit
        return {channel: rate * lit + settings.dark_rate * seconds for channel, rate in rates.items()}

    def counted(self, expected: float) -> int:
        """Return a number of counts where so many are expected."""
        return int(self._noise.poisson(expected))
