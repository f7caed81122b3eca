"""The shutter."""

import time
from typing import Any

from ophyd import Device

from xas_bluesky.device_settings import ShutterPVs
from xas_bluesky.devices.telling import Order, ReadPV, WritePV, part_of
from xas_bluesky.errors import SettingsError

OPEN, CLOSE, BETWEEN = "Open", "Close", "Between"
SETTING = "[devices.shutter]"


class Shutter(Device):
    """Open and close the beam: set to "Open" or "Close", and read as one of them, or as "Between"."""

    def __init__(self, *, name: str, pvs: ShutterPVs) -> None:
        super().__init__(name=name)
        self._pvs = pvs

    @property
    def position(self) -> str:
        """Return "Open", "Close" or "Between"."""
        parts: Any = self
        return self._named(parts.status.get())

    def set(self, value: str) -> Order:
        """Start to open or to close; raises SettingsError for another word, DeviceError when it does not answer."""
        if value not in (OPEN, CLOSE):
            raise SettingsError(f"{self.name}: got {value!r}, expected {OPEN!r} or {CLOSE!r}")
        parts: Any = self
        order = Order(
            self,
            f"{self._pvs.status} to be {value}",
            [parts.status],
            self._pvs.timeout,
            f"see the shutter's interlocks, or raise timeout in {SETTING}",
        )

        def changed(*, value: Any, **_: Any) -> None:
            if self._named(value) == wanted:
                order.fulfil()

        wanted = value
        order.add_callback(lambda _: parts.status.clear_sub(changed))
        if self.position != wanted or wanted == CLOSE:  # it may be closed still, and be opening
            command, number = (
                (parts.opening, self._pvs.open_value) if wanted == OPEN else (parts.closing, self._pvs.close_value)
            )
            command.put(number)
        parts.status.subscribe(changed)
        return order

    def read(self) -> Any:
        """Read whether it is open."""
        return {self.name: {"value": self.position, "timestamp": time.time()}}

    def describe(self) -> Any:
        """Describe it."""
        return {self.name: {"source": f"PV:{self._pvs.status}", "dtype": "string", "shape": []}}

    def _named(self, status: float) -> str:
        return {self._pvs.open_status: OPEN, self._pvs.closed_status: CLOSE}.get(float(status), BETWEEN)


def make_shutter(pvs: ShutterPVs, answer: float) -> Shutter:
    """Make a shutter of its PVs."""
    parts = {
        "status": part_of(ReadPV, pvs.status, f"{SETTING} status", answer, auto_monitor=True),
        "opening": part_of(WritePV, pvs.open, f"{SETTING} open", answer),
        "closing": part_of(WritePV, pvs.close, f"{SETTING} close", answer),
    }
    return type("Shutter", (Shutter,), parts)(name="shutter", pvs=pvs)
