"""What every device shares: PVs that say which setting named them, and orders that end, one way or the other, in time."""

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from ophyd import Component, EpicsSignal, EpicsSignalRO, Kind
from ophyd.signal import EpicsSignalBase
from ophyd.status import Status
from ophyd.utils import DisconnectedError
from ophyd.utils.errors import InvalidState

from xas_bluesky.errors import DeviceError


@contextmanager
def answering(pv: str, setting: str) -> Generator[None]:
    """Raise DeviceError, which names the PV and its setting, where one within does not answer."""
    try:
        yield
    except (TimeoutError, DisconnectedError) as error:
        raise DeviceError(f"{pv} ({setting}) does not answer: {error}; see that its IOC runs") from error


class _NamedPV(EpicsSignalBase):
    """Be a PV that `setting` names, waiting at most `answer` seconds for it to connect or to be read."""

    def __init__(self, pv: str, *, setting: str, answer: float, **kwargs: Any) -> None:
        self.setting = setting
        super().__init__(pv, timeout=answer, connection_timeout=answer, **kwargs)

    def get(self, **kwargs: Any) -> Any:
        """Return the value, read afresh unless it is monitored; raises DeviceError where there is no answer."""
        with answering(self.pvname, self.setting):
            return super().get(**kwargs)

    def read(self) -> Any:
        """Read it; raises DeviceError where there is no answer."""
        with answering(self.pvname, self.setting):
            return super().read()

    def put(self, *args: Any, **kwargs: Any) -> Any:
        """Put a value; raises DeviceError where the PV is not connected."""
        with answering(self.pvname, self.setting):
            super().put(*args, **kwargs)


class ReadPV(_NamedPV, EpicsSignalRO):
    """Read a PV."""


class WritePV(_NamedPV, EpicsSignal):
    """Write a PV, and read it."""


def part_of(
    signal: type[ReadPV | WritePV], pv: str, setting: str, answer: float, *, auto_monitor: bool = False, **more: Any
) -> Any:
    """Make a PV a part of a device, left out of its readings unless its `kind` says otherwise."""
    more = {"kind": Kind.omitted, **more, "setting": setting, "answer": answer, "auto_monitor": auto_monitor}
    return Component(signal, pv, **more)


class Order(Status):
    """Follow what a device was told to do.

    It fails with a DeviceError when it is not done within `seconds`, for which `late` says what to do, and at once when one
    of `signals` disconnects.
    """

    def __init__(self, device: Any, told: str, signals: Sequence[Any], seconds: float, late: str) -> None:
        self._told, self._signals = told, signals
        super().__init__(device)
        self._timer = threading.Timer(seconds, self.fail, [f"not done within {seconds:g} s; {late}"])
        self._timer.daemon = True
        self._timer.start()
        for signal in signals:
            signal.subscribe(self._changed, event_type=signal.SUB_META, run=False)
        self.add_callback(self._ended)

    def fulfil(self) -> None:
        """Take note that it is done; too late, that changes nothing."""
        with suppress(InvalidState):
            self.set_finished()

    def fail(self, why: str) -> None:
        """Take note that it cannot be done; too late, that changes nothing."""
        with suppress(InvalidState):
            self.set_exception(DeviceError(f"{self._told}: {why}"))

    def _changed(self, *, obj: Any, connected: bool = True, **_: Any) -> None:
        if not connected:
            self.fail(f"{obj.pvname} has disconnected; see that its IOC runs")

    def _ended(self, _status: Status) -> None:
        self._timer.cancel()
        for signal in self._signals:
            signal.clear_sub(self._changed, event_type=signal.SUB_META)

    def __str__(self) -> str:
        """Say why it failed: the RunEngine's error, and the run's stop document, show this."""
        failed = self.exception(0) if self.done else None
        return str(failed) if failed else f"{self._told}: {'done' if self.done else 'under way'}"

    __repr__ = __str__
