"""The simulated beamline: devices that measure a known spectrum."""

import math

import numpy as np

from xas_bluesky.beamline_sim.devices import (
    Clock,
    DwellTime,
    FluorescenceScaler,
    Monochromator,
    Scaler,
    TransmissionScaler,
)
from xas_bluesky.beamline_sim.sample import MuOfEnergy, broadened, mu_of_energy, plain_edge
from xas_bluesky.beamline_sim.settings import BeamlineSettings
from xas_bluesky.edges import find_edge
from xas_bluesky.spectra import Array, Spectrum


class SimulatedBeamline:
    """Replay a known spectrum behind ophyd devices.

    `sample`: a known spectrum, or its normalized absorption as a function of the photon energy; `edge`: as in "S K".
    Devices: `energy` (data keys energy, the readback, and energy_setpoint), `dwell`, and `scaler` with i0 and
    fluorescence, or i0, itrans and irefer. The mono starts at the edge. The sample is exposed while the scaler counts,
    not while the mono moves. Everything random repeats for a seed.

    Raises EdgeError for an unknown edge, SpectrumError for a known spectrum that does not hold it.
    """

    def __init__(self, sample: Spectrum | MuOfEnergy, edge: str, settings: BeamlineSettings | None = None) -> None:
        self.settings = settings = settings or BeamlineSettings()
        self.edge = find_edge(edge)
        mu = mu_of_energy(sample, self.edge) if isinstance(sample, Spectrum) else sample
        self._mu = broadened(mu, settings.resolution)
        self._reference = broadened(plain_edge(self.edge), settings.resolution)
        self._clock = Clock(settings.time_scale)
        self._photons = 0.0
        # two streams, so that the counting noise does not depend on how often the mono moved
        motion_noise, self._counting_noise = np.random.default_rng(settings.seed).spawn(2)
        self.energy = Monochromator(
            "energy",
            clock=self._clock,
            start=self.edge.energy,
            speed=settings.speed,
            settle=settings.settle,
            deviation=settings.readback_deviation,
            noise=motion_noise,
        )
        self.dwell = DwellTime("dwell")
        scaler_class = FluorescenceScaler if settings.mode == "fluorescence" else TransmissionScaler
        self.scaler: Scaler = scaler_class("scaler", clock=self._clock, dwell=self.dwell, expose=self._expose)

    @property
    def detectors(self) -> list[Scaler]:
        """Return what a plan triggers and reads beside `energy` and `dwell`."""
        return [self.scaler]

    @property
    def elapsed(self) -> float:
        """Return the simulated seconds spent on motion, settling and dwell."""
        return self._clock.elapsed

    @property
    def photons(self) -> float:
        """Return the photons put on the sample so far."""
        return self._photons

    def mu(self, energy: Array) -> Array:
        """Return the sample's true absorption (n,), broadening included, at photon energies (n,) eV."""
        return self._mu(np.asarray(energy, dtype=np.float64))

    def rates(self, photon_energy: float) -> dict[str, float]:
        """Return the expected counts/s of each channel with beam and without dark counts, at a photon energy (eV)."""
        settings, at = self.settings, np.array([photon_energy])
        absorbed = float(self._mu(at)[0]) + settings.background_ratio
        i0 = settings.flux * settings.i0_efficiency
        if settings.mode == "fluorescence":
            # a normalized pre-edge is noisy around 0: with little background its fluorescence could turn negative
            return {"i0": i0, "fluorescence": i0 * settings.fluorescence_yield * max(absorbed, 0.0)}
        itrans = i0 * math.exp(-absorbed * settings.edge_step)
        return {"i0": i0, "itrans": itrans, "irefer": itrans * math.exp(-float(self._reference(at)[0]))}

    def _expose(self, start: float, seconds: float) -> dict[str, int]:
        """Count for `seconds` from `start` (simulated clock)."""
        lit = self.settings.beam_seconds(start, seconds)
        self._photons += self.settings.flux * lit
        dark = self.settings.dark_rate * seconds
        rates = self.rates(self.energy.position - self.settings.energy_offset)
        return {channel: int(self._counting_noise.poisson(rate * lit + dark)) for channel, rate in rates.items()}
