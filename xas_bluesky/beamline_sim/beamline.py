"""The simulated beamline: devices that measure a known spectrum."""

import math
from collections.abc import Sequence

import numpy as np
from ophyd import Signal

from xas_bluesky.beamline_sim.devices import (
    Clock,
    DwellTime,
    FluorescenceScaler,
    Monochromator,
    Scaler,
    Shutter,
    Stage,
    TransmissionScaler,
)
from xas_bluesky.beamline_sim.sample import Sample, Spot, broadened, plain_edge
from xas_bluesky.beamline_sim.settings import BeamlineSettings
from xas_bluesky.edges import find_edge
from xas_bluesky.errors import SettingsError
from xas_bluesky.spectra import Array

FULL_CURRENT = 400.0
"""mA in the ring; with less there is as much less beam."""


class SimulatedBeamline:
    """Replay known spectra behind ophyd devices.

    `sample`: a known spectrum, its normalized absorption as a function of the photon energy, or a sample that the beam
    damages; several of them are on the slots of `stage`, a spot each. `edge`: as in "S K".
    Devices: `energy` (data keys energy, the readback, and energy_setpoint), `dwell`, `stage`, and `scaler` with i0 and
    fluorescence, or i0, itrans and irefer; `shutter`, open at first; `ring_current` (mA), set by whoever wants a dump (that
    of the settings does not show in it). The mono starts at the edge. The sample is exposed while the scaler counts,
    not while the mono moves. Everything random repeats for a seed.

    Raises EdgeError for an unknown edge, SpectrumError for a known spectrum that does not hold it, SettingsError for no
    sample at all.
    """

    def __init__(self, sample: Sample | Sequence[Sample], edge: str, settings: BeamlineSettings | None = None) -> None:
        self.settings = settings = settings or BeamlineSettings()
        self.edge = find_edge(edge)
        samples = sample if isinstance(sample, Sequence) else [sample]
        if not samples:
            raise SettingsError("simulated beamline: no sample; give at least one known spectrum")
        self._spots = [Spot(each, self.edge, settings.resolution) for each in samples]
        self._reference = broadened(plain_edge(self.edge), settings.resolution)
        self._clock = Clock(settings.time_scale)
        # three streams, so that the counting noise does not depend on how often the mono moved, nor on darks
        motion_noise, self._counting_noise, self._dark_noise = np.random.default_rng(settings.seed).spawn(3)
        self.energy = Monochromator(
            "energy",
            clock=self._clock,
            start=self.edge.energy,
            speed=settings.speed,
            settle=settings.settle,
            deviation=settings.readback_deviation,
            backlash=settings.backlash,
            noise=motion_noise,
        )
        self.stage = Stage("stage", clock=self._clock, slots=len(samples), travel=settings.travel)
        self.dwell = DwellTime("dwell")
        self.shutter = Shutter("shutter")
        self.ring_current = Signal(name="ring_current", value=FULL_CURRENT)
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
        """Return the photons put on all samples so far."""
        return sum(spot.photons for spot in self._spots)

    @property
    def dose(self) -> float:
        """Return the photons put so far on the spot that is in the beam."""
        return self._spot.photons

    @property
    def _spot(self) -> Spot:
        return self._spots[self.stage.position]

    def mu(self, energy: Array) -> Array:
        """Return the true absorption (n,) of what is in the beam, as it is now and broadened, at energies (n,) eV."""
        return self._spot.mu(np.asarray(energy, dtype=np.float64))

    def rates(self, photon_energy: float) -> dict[str, float]:
        """Return the counts/s now expected of each channel with beam and without dark counts, at a photon energy (eV)."""
        settings, at = self.settings, np.array([photon_energy])
        absorbed = float(self._spot.mu(at)[0]) + settings.background_ratio
        incident = settings.flux * settings.i0_efficiency
        i0 = incident * math.exp(settings.i0_drift * self._hours)
        if settings.mode == "fluorescence":
            # a normalized pre-edge is noisy around 0: with little background its fluorescence could turn negative
            return {"i0": i0, "fluorescence": incident * settings.fluorescence_yield * max(absorbed, 0.0)}
        itrans = incident * math.exp(-absorbed * settings.edge_step)
        return {"i0": i0, "itrans": itrans, "irefer": itrans * math.exp(-float(self._reference(at)[0]))}

    @property
    def _lit_share(self) -> float:
        return float(self.ring_current.get()) / FULL_CURRENT if self.shutter.is_open else 0.0  # pyright: ignore[reportArgumentType]

    @property
    def _hours(self) -> float:
        return self._clock.elapsed / 3600

    def _expose(self, start: float, seconds: float) -> dict[str, int]:
        """Count for `seconds` from `start` (simulated clock), on the sample as it is half way."""
        settings, spot = self.settings, self._spot
        lit = settings.beam_seconds(start, seconds) * self._lit_share
        before = spot.photons
        spot.photons = before + settings.flux * lit / 2
        rates = self.rates(self.energy.actual - settings.energy_offset - settings.energy_drift * self._hours)
        spot.photons = before + settings.flux * lit
        dark = settings.dark_rate * seconds
        noise = self._counting_noise if self.shutter.is_open else self._dark_noise
        return {channel: int(noise.poisson(rate * lit + dark)) for channel, rate in rates.items()}
