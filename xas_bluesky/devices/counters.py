"""The dwell time and the detectors that count for so long."""

import math
from typing import Any

from ophyd import Device, Kind

from xas_bluesky.device_settings import CounterPVs
from xas_bluesky.devices.telling import Order, ReadPV, WritePV, part_of
from xas_bluesky.errors import SettingsError

TAKEN = 0.1
"""A dwell that reads back as another by more than this share was not taken."""


class DwellTime(Device):
    """Set the seconds to count: `name` is the data key, read from the first of the PVs `part_0`, `part_1` and so on."""

    def __init__(self, *, name: str, answer: float) -> None:
        super().__init__(name=name)
        self._answer = answer
        self._parts: list[WritePV] = [getattr(self, part) for part in self.component_names]
        self._parts[0].name = name

    @property
    def seconds(self) -> float:
        """Return the seconds set."""
        return float(self._parts[0].get())

    def set(self, seconds: float) -> Order:
        """Count for `seconds` from now on; raises SettingsError when that is no positive number."""
        if not (math.isfinite(seconds) and seconds > 0):
            raise SettingsError(f"{self.name}: got {seconds!r}, expected a positive number of seconds")
        late = "see what holds it, or raise answer in [devices]"
        order = Order(self, f"dwell of {seconds:g} s", self._parts, self._answer, late)
        left = set(self._parts)

        def taken(part: WritePV) -> None:
            left.discard(part)
            if not left:
                order.fulfil()

        for part in self._parts:
            part.put(float(seconds), use_complete=True, callback=lambda part=part, **_: taken(part))
        return order

    def read(self) -> Any:
        """Read the dwell."""
        return self._parts[0].read()

    def describe(self) -> Any:
        """Describe the dwell."""
        return self._parts[0].describe()


class Detector(Device):
    """Count for the dwell time, started by a PV; the data keys of `pvs.channels` are read once it has counted."""

    def __init__(self, *, name: str, pvs: CounterPVs, dwell: DwellTime, setting: str) -> None:
        super().__init__(name=name)
        for number, key in enumerate(pvs.channels):
            getattr(self, f"channel_{number}").name = key
        self._pvs, self._dwell, self._setting = pvs, dwell, setting

    def trigger(self) -> Any:
        """Count for the dwell time; what still counts from before is waited for."""
        parts: Any = self
        late = f"see the detector, or raise timeout in {self._setting}"
        watched = [parts.start, *([parts.done] if self._pvs.done else [])]
        order = Order(self, f"{self._pvs.start} to count", watched, self._dwell.seconds + self._pvs.timeout, late)
        if self._pvs.done is None:
            parts.start.put(self._pvs.start_value, use_complete=True, callback=lambda **_: order.fulfil())
        else:
            self._until_done(parts, order)
        return order

    def _until_done(self, parts: Any, order: Order) -> None:
        begun = counted = False

        def changed(*, value: Any, **_: Any) -> None:
            nonlocal begun, counted
            if value != self._pvs.done_value:
                counted = begun
            elif not begun:
                begun = True
                parts.start.put(self._pvs.start_value)
            elif counted:
                order.fulfil()

        order.add_callback(lambda _: parts.done.clear_sub(changed))
        parts.done.subscribe(changed)


def make_dwell(name: str, pvs: tuple[str, ...], answer: float) -> DwellTime:
    """Make the dwell time of so many PVs."""
    parts = {f"part_{n}": part_of(WritePV, pv, "[devices] dwell", answer, kind=Kind.normal) for n, pv in enumerate(pvs)}
    return type("DwellTime", (DwellTime,), parts)(name=name, answer=answer)


def make_detector(name: str, pvs: CounterPVs, dwell: DwellTime, answer: float) -> Detector:
    """Make a detector of its own channels."""
    setting = f"[devices.counters.{name}]"
    parts: dict[str, Any] = {
        f"channel_{n}": part_of(ReadPV, pv, f"{setting} channels.{key}", answer, kind=Kind.hinted)
        for n, (key, pv) in enumerate(pvs.channels.items())
    }
    parts["start"] = part_of(WritePV, pvs.start, f"{setting} start", answer)
    if pvs.done:
        parts["done"] = part_of(ReadPV, pvs.done, f"{setting} done", answer, auto_monitor=True)
    return type("Detector", (Detector,), parts)(name=name, pvs=pvs, dwell=dwell, setting=setting)
