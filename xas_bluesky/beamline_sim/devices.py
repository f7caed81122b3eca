"""Ophyd devices of the simulated beamline: monochromator, stage, shutter, dwell time, scaler, and the clock they share."""

import math
import threading
from collections.abc import Callable, Mapping
from typing import cast

from numpy.random import Generator
from ophyd import Component, Device, Kind, Signal
from ophyd.status import DeviceStatus

from xas_bluesky.errors import SettingsError

READ_ONLY = {"write_access": False}


class Clock:
    """Count simulated seconds, and let `time_scale` wall seconds pass for each of them."""

    def __init__(self, time_scale: float) -> None:
        self.elapsed = 0.0
        self._time_scale = time_scale

    def spend(self, seconds: float, then: Callable[[], None]) -> None:
        """Let simulated `seconds` pass, then call `then`: before returning when the time scale is 0."""

        def finish() -> None:
            self.elapsed += seconds
            then()

        if self._time_scale == 0:
            finish()
            return
        timer = threading.Timer(seconds * self._time_scale, finish)
        timer.daemon = True
        timer.start()


def turned(actual: float, readback: float, play: float) -> float:
    """Return the true energy, up to `play` above the readback, after a crystal at `actual` was turned to `readback` (eV)."""
    return min(max(actual, readback), readback + play)


def _number(signal: Signal) -> float:
    return float(cast(float, signal.get()))


class Monochromator(Device):
    """Move the photon energy (eV).

    The readback, which the user sees, misses the setpoint by a small random deviation, drawn anew for each move. A move
    to where the setpoint already is takes no time and changes nothing. The crystal is turned through a gear with play:
    `actual`, the photon energy but for its calibration, is the readback after a move up, and lies up to `backlash` (eV)
    above it after one down.
    """

    readback = Component(Signal, value=0.0, kind=Kind.hinted, metadata=READ_ONLY)
    setpoint = Component(Signal, value=0.0, kind=Kind.normal, metadata=READ_ONLY)

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        start: float,
        speed: float,
        settle: float,
        deviation: float,
        backlash: float,
        noise: Generator,
    ) -> None:
        super().__init__(name=name)
        self.actual = start
        self.readback.name = name
        self.readback.put(start, force=True)
        self.setpoint.put(start, force=True)
        self._clock, self._speed, self._settle = clock, speed, settle
        self._deviation, self._backlash, self._noise = deviation, backlash, noise

    @property
    def position(self) -> float:
        """Return the readback (eV)."""
        return _number(self.readback)

    def set(self, energy: float) -> DeviceStatus:
        """Start a move to `energy` (eV); raises SettingsError when it is not a positive number."""
        if not (math.isfinite(energy) and energy > 0):
            raise SettingsError(f"{self.name}: got {energy!r}, expected a positive energy in eV")
        target = float(energy)
        status = DeviceStatus(self)
        distance = abs(target - _number(self.setpoint))
        if distance == 0:
            status.set_finished()
            return status
        self.setpoint.put(target, force=True)

        def arrive() -> None:
            self.readback.put(target + self._deviation * float(self._noise.standard_normal()), force=True)
            self.actual = turned(self.actual, self.position, self._backlash)
            status.set_finished()

        self._clock.spend(distance / self._speed + self._settle, arrive)
        return status


class Stage(Device):
    """Bring one of several samples into the beam: slots 0, 1, 2 and so on, `travel` (s) apart."""

    slot = Component(Signal, value=0, kind=Kind.hinted, metadata=READ_ONLY)

    def __init__(self, name: str, *, clock: Clock, slots: int, travel: float) -> None:
        super().__init__(name=name)
        self.slot.name = name
        self._clock, self._slots, self._travel = clock, slots, travel

    @property
    def position(self) -> int:
        """Return the slot in the beam."""
        return int(_number(self.slot))

    def set(self, slot: float) -> DeviceStatus:
        """Start a move to `slot`; raises SettingsError when there is no such slot."""
        if slot not in range(self._slots):
            raise SettingsError(f"{self.name}: got {slot!r}, expected a slot from 0 to {self._slots - 1}")
        status = DeviceStatus(self)

        def arrive() -> None:
            self.slot.put(int(slot), force=True)
            status.set_finished()

        self._clock.spend(abs(int(slot) - self.position) * self._travel, arrive)
        return status


class Shutter(Device):
    """Let the beam through, or not: "Open" or "Close", at once."""

    state = Component(Signal, value="Open", kind=Kind.hinted, metadata=READ_ONLY)

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.state.name = name

    @property
    def is_open(self) -> bool:
        """Say whether beam comes through."""
        return self.state.get() == "Open"

    def set(self, value: str) -> DeviceStatus:
        """Open or close; raises SettingsError for another word."""
        if value not in ("Open", "Close"):
            raise SettingsError(f'{self.name}: got {value!r}, expected "Open" or "Close"')
        self.state.put(value, force=True)
        status = DeviceStatus(self)
        status.set_finished()
        return status


class DwellTime(Device):
    """Set the counting time per point (s)."""

    seconds = Component(Signal, value=1.0, kind=Kind.normal, metadata=READ_ONLY)

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.seconds.name = name

    def set(self, seconds: float) -> DeviceStatus:
        """Count for `seconds` from now on; raises SettingsError when that is not a positive number."""
        if not (math.isfinite(seconds) and seconds > 0):
            raise SettingsError(f"{self.name}: got {seconds!r}, expected a positive number of seconds")
        self.seconds.put(float(seconds), force=True)
        status = DeviceStatus(self)
        status.set_finished()
        return status


class Scaler(Device):
    """Count for one dwell time.

    `expose`: (start, seconds on the simulated clock) -> counts by channel. A channel's data key is its bare name.
    """

    def __init__(
        self, name: str, *, clock: Clock, dwell: DwellTime, expose: Callable[[float, float], Mapping[str, int]]
    ) -> None:
        super().__init__(name=name)
        for channel in self.component_names:
            getattr(self, channel).name = channel
        self._clock, self._dwell, self._expose = clock, dwell, expose

    def trigger(self) -> DeviceStatus:
        """Count for the dwell time."""
        status = DeviceStatus(self)
        start, seconds = self._clock.elapsed, _number(self._dwell.seconds)

        def finish() -> None:
            for channel, counts in self._expose(start, seconds).items():
                getattr(self, channel).put(counts, force=True)
            status.set_finished()

        self._clock.spend(seconds, finish)
        return status


class FluorescenceScaler(Scaler):
    """Count the incident beam and the sample's fluorescence."""

    i0 = Component(Signal, value=0, kind=Kind.hinted, metadata=READ_ONLY)
    fluorescence = Component(Signal, value=0, kind=Kind.hinted, metadata=READ_ONLY)


class TransmissionScaler(Scaler):
    """Count the beam before the sample, behind it, and behind the reference foil."""

    i0 = Component(Signal, value=0, kind=Kind.hinted, metadata=READ_ONLY)
    itrans = Component(Signal, value=0, kind=Kind.hinted, metadata=READ_ONLY)
    irefer = Component(Signal, value=0, kind=Kind.hinted, metadata=READ_ONLY)
