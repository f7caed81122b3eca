"""The simulated beamline: devices that measure a known spectrum."""

from collections.abc import Sequence

import numpy as np
from ophyd import Signal

from xas_bluesky.beamline_sim.beam import Beam
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
from xas_bluesky.beamline_sim.sample import Sample, Spot
from xas_bluesky.beamline_sim.settings import BeamlineSettings
from xas_bluesky.edges import find_edge
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
        self._clock = Clock(settings.time_scale)
        # three streams, so that the counting noise does not depend on how often the mono moved, nor on darks
        motion_noise, counting_noise, dark_noise = np.random.default_rng(settings.seed).spawn(3)
        self._beam, self._dark_noise = Beam(sample, self.edge, settings, counting_noise), dark_noise
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
        self.stage = Stage("stage", clock=self._clock, slots=len(self._beam.spots), travel=settings.travel)
        self.dwell = DwellTime("dwell")
        self.shutter = Shutter("shutter")
        self.ring_current = Signal(name="ring_current", value=FULL_CURRENT)
        scaler_class = FluorescenceScaler if settings.mode == "fluorescence" else TransmissionScaler
        self._channels = scaler_class.component_names
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
        return sum(spot.photons for spot in self._beam.spots)

    @property
    def dose(self) -> float:
        """Return the photons put so far on the spot that is in the beam."""
        return self._spot.photons

    @property
    def _spot(self) -> Spot:
        return self._beam.spots[self.stage.position]

    def mu(self, energy: Array) -> Array:
        """Return the true absorption (n,) of what is in the beam, as it is now and broadened, at energies (n,) eV."""
        return self._spot.mu(np.asarray(energy, dtype=np.float64))

    def rates(self, photon_energy: float) -> dict[str, float]:
        """Return the counts/s now expected of each channel with beam and without dark counts, at a photon energy (eV)."""
        return self._beam.rates(self._spot, photon_energy, self._hours, self._channels)

    @property
    def _lit_share(self) -> float:
        return float(self.ring_current.get()) / FULL_CURRENT if self.shutter.is_open else 0.0  # pyright: ignore[reportArgumentType]

    @property
    def _hours(self) -> float:
        return self._clock.elapsed / 3600

    def _expose(self, start: float, seconds: float) -> dict[str, int]:
        """Count for `seconds` from `start` (simulated clock), on the sample as it is half way."""
        lit = self.settings.beam_seconds(start, seconds) * self._lit_share
        expected = self._beam.expected(self._spot, self.energy.actual, lit, seconds, self._hours, self._channels)
        if not self.shutter.is_open:
            return {channel: int(self._dark_noise.poisson(counts)) for channel, counts in expected.items()}
        return {channel: self._beam.counted(counts) for channel, counts in expected.items()}
