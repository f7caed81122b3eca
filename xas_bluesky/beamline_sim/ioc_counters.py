"""Simulated counters, a shutter and the ring's current, served over Channel Access."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from caproto import ChannelType, SkipWrite
from caproto.server import PVGroup

from xas_bluesky.beamline_sim.ioc_pv import pvproperty

FULL_CURRENT = 400.0
"""mA of a full ring."""
COUNTERS = ("i0", "itrans", "irefer")
NONE = "none"


class Scaler(PVGroup):
    """Serve a scaler: `start` = 1 counts for `dwell` seconds, and completes when `done` is 1 again; 0 ends it.

    `count`: seconds -> counts by counter; it writes those of the fluorescence detector, which the scaler gates.
    """

    async def _started(self, instance: Any, value: int) -> None:
        """Begin anew, or end, counting."""
        if self._counting is not None and not self._counting.done():
            self._counting.cancel()
            await asyncio.wait([self._counting])
        await instance.write(int(value != 0), verify_value=False)
        if value:
            self._counting = asyncio.create_task(self._run())
            await asyncio.wait([self._counting])
        raise SkipWrite

    dwell = pvproperty(value=1.0, name="dwell", dtype=float, precision=3, lower_ctrl_limit=1e-3, upper_ctrl_limit=3600.0)
    start = pvproperty(value=0, name="start", dtype=int, put=_started)
    done = pvproperty(value=1, name="done", dtype=int, read_only=True)
    i0 = pvproperty(value=0.0, name="i0", dtype=float, read_only=True)
    itrans = pvproperty(value=0.0, name="itrans", dtype=float, read_only=True)
    irefer = pvproperty(value=0.0, name="irefer", dtype=float, read_only=True)

    def __init__(self, prefix: str, count: Callable[[float], Awaitable[Mapping[str, float]]]) -> None:
        super().__init__(prefix)
        self._count = count
        self._counting: asyncio.Task[None] | None = None

    async def _run(self) -> None:
        await self.done.write(0)
        try:
            for counter, counts in (await self._count(float(self.dwell.value))).items():
                await getattr(self, counter).write(counts)
        finally:
            await self.start.write(0, verify_value=False)
            await self.done.write(1)


class Element(PVGroup):
    """Serve one element of the fluorescence detector: counts in its region, input and output count rates (1/s)."""

    roi = pvproperty(value=0.0, name="roi", dtype=float, read_only=True)
    icr = pvproperty(value=0.0, name="icr", dtype=float, read_only=True)
    ocr = pvproperty(value=0.0, name="ocr", dtype=float, read_only=True)


class Shutter(PVGroup):
    """Serve a shutter: putting 1 to `open` or `close` moves it, `status` is 1 while it is open."""

    async def _opened(self, instance: Any, value: int) -> int:  # noqa: ARG002
        if value:
            await self.status.write(1)
        return 0

    async def _closed(self, instance: Any, value: int) -> int:  # noqa: ARG002
        if value:
            await self.status.write(0)
        return 0

    opening = pvproperty(value=0, name="open", dtype=int, put=_opened)
    closing = pvproperty(value=0, name="close", dtype=int, put=_closed)
    status = pvproperty(value=1, name="status", dtype=int, read_only=True)


class Ring(PVGroup):
    """Serve the ring's current (mA)."""

    current = pvproperty(value=FULL_CURRENT, name="current", dtype=float, precision=1, units="mA", read_only=True)


class Faults(PVGroup):
    """Serve switches for what goes wrong: a motor that stalls, no beam, a counter without a number, a scaler that hangs.

    `changed` is awaited after each change.
    """

    stall = pvproperty(value=NONE, name="stall", dtype=ChannelType.ENUM, enum_strings=(NONE, "mono", "stage"))
    dump = pvproperty(value=0, name="dump", dtype=int)
    nan = pvproperty(value=NONE, name="nan", dtype=ChannelType.ENUM, enum_strings=(NONE, *COUNTERS, "fluorescence"))
    hang = pvproperty(value=0, name="hang", dtype=int)

    def __init__(self, prefix: str, changed: Callable[[], Awaitable[None]]) -> None:
        super().__init__(prefix)
        self._changed = changed

    async def group_write(self, instance: Any, value: Any) -> None:
        """Take a switch, and have it happen."""
        await instance.write(value, verify_value=False)
        await self._changed()
        raise SkipWrite
