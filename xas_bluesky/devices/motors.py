"""Motor records: the energy, and the stage that brings samples into the beam."""

import math
import time
from contextlib import suppress
from typing import Any

from ophyd import Device, EpicsMotor, Kind
from ophyd.status import Status
from ophyd.utils import DisconnectedError

from xas_bluesky.device_settings import EnergyMotor, StageMotor
from xas_bluesky.devices.telling import Order, answering
from xas_bluesky.errors import DeviceError, SettingsError


class MotorAxis(EpicsMotor):
    """Move a motor record, and say so when it does not arrive.

    Data keys: `name`, the readback, and `name`_user_setpoint. `setting` is the table that names it.
    """

    def __init__(self, *, name: str, pvs: EnergyMotor | StageMotor, setting: str) -> None:
        self.setting = f"{setting} motor"
        self._pvs, self._table, self._stopped = pvs, setting, False
        super().__init__(pvs.motor, name=name)

    def set(self, new_position: Any, **kwargs: Any) -> Order:
        """Start a move; raises SettingsError outside the limits of the record, DeviceError when it does not answer."""
        target = float(new_position)
        if not math.isfinite(target):
            raise SettingsError(f"{self.name}: got {new_position!r}, expected a position of {self._pvs.motor}")
        with answering(self._pvs.motor, self.setting):
            low, high = self.limits
            if low < high and not low <= target <= high:
                raise SettingsError(
                    f"{self.name}: {target:g} lies outside the limits of {self._pvs.motor}, {low:g} to {high:g}; ask for "
                    "what lies within, or move its LLM and HLM"
                )
            self._stopped = False
            moved = self.move(target, wait=False, **kwargs)
        late = f"see whether it stalls, or raise timeout in {self._table}"
        watched = [self.user_readback, self.motor_done_move]
        order = Order(self, f"{self._pvs.motor} to {target:g}", watched, self._pvs.timeout, late)
        moved.add_callback(lambda status: self._ended(status, order, target))
        order.add_callback(self._given_up)
        return order

    def stop(self, *, success: bool = False) -> None:
        """Stop where it is; that is no failure of the move when whoever stops it says so."""
        self._stopped = success
        with suppress(DisconnectedError):  # out of reach: what it was told has failed by that
            super().stop(success=success)

    def read(self) -> Any:
        """Read it; raises DeviceError when it does not answer: what a monitor said last may be old then."""
        with answering(self._pvs.motor, self.setting):
            if not self.connected:
                raise TimeoutError("it has disconnected")
            return super().read()

    def _ended(self, moved: Status, order: Order, target: float) -> None:
        if self._stopped:
            order.fulfil()
        elif not moved.success:
            order.fail("the move was given up, met a limit switch, or ended in an alarm; see the record")
        elif self._far(target):
            order.fail(f"it stopped at {self.position:g}, farther than tolerance in {self._table}; see what stopped it")
        else:
            order.fulfil()

    def _far(self, target: float) -> bool:
        seen: Any = self.position
        if abs(seen - target) > self._pvs.tolerance:  # the news of where it is may come after that of its end
            seen = self.user_readback.get(use_monitor=False)
        return abs(seen - target) > self._pvs.tolerance

    def _given_up(self, order: Status) -> None:
        if not order.success and self.connected:
            self.motor_stop.put(1, wait=False)


class Stage(Device):
    """Bring one of several samples into the beam: slots 0, 1, 2 and so on.

    Data keys: `name`, the slot that the stage is at, NaN between them, and those of its motor.
    """

    def __init__(self, *, name: str, pvs: StageMotor, setting: str) -> None:
        super().__init__(name=name)
        self._pvs = pvs
        self.motor = MotorAxis(name=f"{name}_motor", pvs=pvs, setting=setting)

    @property
    def position(self) -> float:
        """Return the slot that the stage is at, NaN between them."""
        at: Any = self.motor.position
        return next((slot for slot, there in enumerate(self._pvs.slots) if abs(at - there) <= self._pvs.tolerance), math.nan)

    def set(self, slot: float) -> Order:
        """Start a move to `slot`; raises SettingsError when there is no such slot, DeviceError when it does not answer."""
        if slot not in range(len(self._pvs.slots)):
            raise SettingsError(f"{self.name}: got {slot!r}, expected a slot from 0 to {len(self._pvs.slots) - 1}")
        return self.motor.set(self._pvs.slots[int(slot)])

    def stop(self, *, success: bool = False) -> None:
        """Stop where it is."""
        self.motor.stop(success=success)

    def read(self) -> Any:
        """Read the slot and the motor."""
        read = self.motor.read()
        return {self.name: {"value": float(self.position), "timestamp": time.time()}, **read}

    def describe(self) -> Any:
        """Describe the slot and the motor."""
        slot = {"source": f"PV:{self._pvs.motor}", "dtype": "number", "shape": []}
        return {self.name: slot, **self.motor.describe()}

    @property
    def hints(self) -> Any:
        """Name the slot as what is to be plotted."""
        return {"fields": [self.name]} if self.kind & Kind.normal else {}


def in_electronvolts(axis: MotorAxis) -> None:
    """Raise DeviceError when the record says that it moves in another unit."""
    unit = str(axis.motor_egu.get()).strip()
    if unit.lower() not in ("", "ev"):
        raise DeviceError(f"{axis.prefix} ({axis.setting}) moves in {unit!r}; name the motor record that moves in eV")
