"""Settings of the simulated beamline."""

import math
from dataclasses import dataclass, fields
from typing import Literal

from xas_bluesky.config import Settings
from xas_bluesky.errors import SettingsError

COUNTING = Settings(noise=dict.fromkeys(("i0", "itrans", "irefer", "fluorescence"), "photons"))
"""What a beamline.toml would say of the simulated beamline: its counters count photons."""
MAY_BE_ZERO = {
    "background_ratio",
    "dark_rate",
    "resolution",
    "readback_deviation",
    "backlash",
    "settle",
    "travel",
    "time_scale",
}
ANY_SIGN = {"energy_offset": "eV", "energy_drift": "eV/h", "i0_drift": "1/h"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamlineSettings:
    """Say what the simulated beamline is like.

    `mode`: which signal carries the absorption. `flux`: photons/s on the sample; `i0_efficiency`: counts of i0 per
    photon. `edge_step`: absorption the edge adds in transmission; `background_ratio`: absorption (or fluorescence) that
    is not the absorber's, over the edge step; `fluorescence_yield`: counts of fluorescence per count of i0 at the edge
    step; `dark_rate`: counts/s of every detector without beam.

    `energy_offset` (eV): calibration error, readback minus true photon energy; `readback_deviation` (eV): standard
    deviation of readback minus setpoint; `backlash` (eV): how far the true energy stays above the readback after a move
    down; `resolution` (eV): full width at half maximum of a Gaussian broadening. A move takes its distance over `speed`
    (eV/s), then `settle` (s); the sample stage `travel` (s) a slot. `energy_drift` (eV/h): of the offset; `i0_drift` (1/h):
    of the logarithm of i0's efficiency, on the simulated clock. `beam_dump`: start and duration (s, simulated clock) of a
    time without beam; duration None: it does not come back. `seed`: of all noise. `time_scale`: wall seconds per
    simulated second; 0: as fast as possible.

    Raises SettingsError for a value out of range.
    """

    mode: Literal["fluorescence", "transmission"] = "fluorescence"
    flux: float = 1e9
    i0_efficiency: float = 0.1
    edge_step: float = 1.0
    background_ratio: float = 0.1
    fluorescence_yield: float = 1e-3
    dark_rate: float = 10.0
    energy_offset: float = 0.0
    energy_drift: float = 0.0
    i0_drift: float = 0.0
    readback_deviation: float = 0.02
    backlash: float = 0.0
    resolution: float = 0.0
    speed: float = 10.0
    settle: float = 0.2
    travel: float = 2.0
    beam_dump: tuple[float, float | None] | None = None
    seed: int = 0
    time_scale: float = 0.0

    def __post_init__(self) -> None:
        if self.mode not in ("fluorescence", "transmission"):
            raise SettingsError(f"simulated beamline: mode {self.mode!r}; give 'fluorescence' or 'transmission'")
        for name, unit in ANY_SIGN.items():
            if not math.isfinite(getattr(self, name)):
                raise SettingsError(f"simulated beamline: {name} {getattr(self, name)!r} must be finite ({unit})")
        for name in (field.name for field in fields(self) if field.type is float and field.name not in ANY_SIGN):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0 or (value == 0 and name not in MAY_BE_ZERO):
                least = "zero or more" if name in MAY_BE_ZERO else "more than zero"
                raise SettingsError(f"simulated beamline: {name} {value!r} must be finite and {least}")
        if self.seed < 0:
            raise SettingsError(f"simulated beamline: seed {self.seed!r} must be zero or more")
        if self.beam_dump is not None:
            start, duration = self.beam_dump
            if start < 0 or (duration is not None and duration <= 0):
                raise SettingsError(
                    f"simulated beamline: beam_dump {self.beam_dump!r}; give a start of zero or more (s) "
                    "and a positive duration (s), or None for a beam that does not come back"
                )

    def beam_seconds(self, start: float, seconds: float) -> float:
        """Return how many of the `seconds` (s) from `start` (s, simulated clock) there is beam."""
        if self.beam_dump is None:
            return seconds
        off, duration = self.beam_dump
        on = math.inf if duration is None else off + duration
        return seconds - max(0.0, min(start + seconds, on) - max(start, off))
