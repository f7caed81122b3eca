"""A simulated motor record, served over Channel Access."""

import asyncio
from typing import Any

from caproto import SkipWrite
from caproto.server import PVGroup
from numpy.random import Generator

from xas_bluesky.beamline_sim.devices import turned
from xas_bluesky.beamline_sim.ioc_pv import pvproperty

TICK = 0.1
"""Wall seconds between two readbacks of a motor on its way."""
STALL_TICK = 0.05
"""Wall seconds after which a motor that stalls is tried again."""


class Pace:
    """Let `time_scale` wall seconds pass for each simulated one."""

    def __init__(self, time_scale: float) -> None:
        self._time_scale = time_scale
        self.tick = TICK / time_scale if time_scale else float("inf")
        self.elapsed = 0.0

    async def sleep(self, seconds: float) -> None:
        """Let simulated `seconds` pass."""
        await asyncio.sleep(seconds * self._time_scale)
        self.elapsed += seconds


class Motor(PVGroup):
    """Serve a motor record: VAL, RBV, DMOV, MOVN, STOP, HLM, LLM, VELO, BDST, TDIR and EGU behave, the other fields are there.

    A value outside the limits is refused. A move against the sign of BDST goes that far beyond, and comes back from there.
    `actual` is where what it turns really is, up to `play` above the readback; while `stalled` it does not get on. A put
    completes when the motor is there.
    """

    async def _started(self, instance: Any, async_lib: Any) -> None:  # noqa: ARG002
        """Write what the record begins with."""
        unit = self._begin["EGU"]
        await self._field("RBV").write_metadata(units=unit, precision=4)
        await instance.write_metadata(units=unit)
        for name, value in self._begin.items():
            await self._field(name).write(value)
        await instance.write(self._position, verify_value=False)

    async def _sent(self, instance: Any, value: float) -> None:
        """Go to `value`, from wherever the motor is."""
        await self._give_up()
        await instance.write(value, verify_value=False)  # published before the motor moves
        self._move = asyncio.create_task(self._go(value))
        await asyncio.wait([self._move])
        raise SkipWrite

    val = pvproperty(value=0.0, name="", record="motor", dtype=float, precision=4, startup=_started, put=_sent)

    def __init__(
        self,
        prefix: str,
        *,
        pace: Pace,
        start: float,
        limits: tuple[float, float],
        velocity: float,
        unit: str,
        noise: Generator,
        settle: float = 0.0,
        deviation: float = 0.0,
        play: float = 0.0,
    ) -> None:
        super().__init__(prefix)
        self.actual = start
        self.stalled = False
        self._pace, self._noise, self._settle, self._deviation, self._play = pace, noise, settle, deviation, play
        self._position, self._move = start, None
        self._begin = {"VELO": velocity, "HLM": limits[1], "LLM": limits[0], "RBV": start, "DRBV": start, "EGU": unit}
        self._move: asyncio.Task[None] | None = None

    def _field(self, name: str) -> Any:
        return self.val.get_field(name)

    @val.fields.stop.putter
    async def _stopped(fields: Any, instance: Any, value: int) -> None:  # noqa: ARG002, N805  (caproto's: of the record)
        motor: Motor = fields.parent.group
        if value and await motor._give_up():
            await motor.val.write(motor._position, verify_value=False)
            await motor._rest()
        raise SkipWrite

    @val.fields.user_high_limit.putter
    async def _high(fields: Any, instance: Any, value: float) -> None:  # noqa: ARG002, N805
        await fields.parent.write_metadata(upper_ctrl_limit=value)

    @val.fields.user_low_limit.putter
    async def _low(fields: Any, instance: Any, value: float) -> None:  # noqa: ARG002, N805
        await fields.parent.write_metadata(lower_ctrl_limit=value)

    async def _give_up(self) -> bool:
        """End the move that is under way; say whether there was one."""
        move, self._move = self._move, None
        if move is None or move.done():
            return False
        move.cancel()
        await asyncio.wait([move])
        return True

    async def _go(self, target: float) -> None:
        await self._field("DMOV").write(0)
        await self._field("MOVN").write(1)
        beyond = float(self._field("BDST").value)
        if beyond * (target - self._position) < 0:
            await self._way(target - beyond)
        if target != self._position:
            await self._way(target)
            await self._pace.sleep(self._settle)
        await self._rest()

    async def _way(self, end: float) -> None:
        await self._field("TDIR").write(int(end > self._position))
        while (left := end - self._position) != 0:
            velocity = max(float(self._field("VELO").value), 1e-6)
            step = min(abs(left), velocity * self._pace.tick)
            await self._pace.sleep(step / velocity)
            if self.stalled:
                await asyncio.sleep(STALL_TICK)
                continue
            self._position = end if step == abs(left) else self._position + (step if left > 0 else -step)
            arrived = self._position == end
            await self._read_back(self._deviation * float(self._noise.standard_normal()) if arrived else 0.0)

    async def _read_back(self, deviation: float) -> None:
        readback = self._position + deviation
        self.actual = turned(self.actual, readback, self._play)
        await self._field("RBV").write(readback)
        await self._field("DRBV").write(readback)

    async def _rest(self) -> None:
        await self._field("MOVN").write(0)
        await self._field("DMOV").write(1)
