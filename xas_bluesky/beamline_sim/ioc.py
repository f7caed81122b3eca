"""A simulated beamline served over Channel Access, as a real one would be."""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from caproto.asyncio.server import Context

from xas_bluesky.beamline_sim.beam import Beam
from xas_bluesky.beamline_sim.ioc_counters import COUNTERS, FULL_CURRENT, Element, Faults, Ring, Scaler, Shutter
from xas_bluesky.beamline_sim.ioc_motor import Motor, Pace
from xas_bluesky.beamline_sim.sample import Sample, Spot
from xas_bluesky.beamline_sim.settings import BeamlineSettings
from xas_bluesky.edges import find_edge
from xas_bluesky.errors import SettingsError

CHANNELS = (*COUNTERS, "fluorescence")
SHARES = (0.28, 0.26, 0.24, 0.22)
"""What the elements of the fluorescence detector see of the whole."""
OF_LINE = 0.5
"""Share of an element's counts that lie in its region of interest; the rest is scattered light."""
DEAD_TIME = 1e-6
"""Seconds an element is dead after each count (non-paralyzable)."""
REACH = 1000.0
"""eV on both sides of the edge that the mono turns."""
SLOT = 10.0
"""mm between the samples on the stage."""
SAMPLE_WIDTH = 8.0
"""mm; between two samples there is nothing in the beam."""


class ServedBeamline:
    """Serve known spectra, a slot of the stage each, as a beamline at `edge` whose PVs begin with `prefix`.

    Unlike SimulatedBeamline it records transmission and fluorescence both. Raises EdgeError, SpectrumError, SettingsError.
    """

    def __init__(self, sample: Sample | Sequence[Sample], edge: str, settings: BeamlineSettings, prefix: str) -> None:
        self._settings = settings
        at = find_edge(edge)
        motion_noise, counting_noise = np.random.default_rng(settings.seed).spawn(2)
        self._beam = Beam(sample, at, settings, counting_noise)
        self._empty = Spot(np.zeros_like, at, 0.0)
        self._pace = Pace(settings.time_scale)
        self.mono = Motor(
            f"{prefix}mono",
            pace=self._pace,
            start=at.energy,
            limits=(max(at.energy - REACH, 1.0), at.energy + REACH),
            velocity=settings.speed,
            unit="eV",
            noise=motion_noise,
            settle=settings.settle,
            deviation=settings.readback_deviation,
            play=settings.backlash,
        )
        slots = len(self._beam.spots)
        self.stage = Motor(
            f"{prefix}stage",
            pace=self._pace,
            start=0.0,
            limits=(-SLOT / 2, SLOT * (slots - 0.5)),
            velocity=SLOT / settings.travel if settings.travel else 1e6,
            unit="mm",
            noise=motion_noise,
        )
        self.scaler = Scaler(f"{prefix}scaler:", self._count)
        self.elements = [Element(f"{prefix}fluor:{number}:") for number, _ in enumerate(SHARES, 1)]
        self.shutter = Shutter(f"{prefix}shutter:")
        self.ring = Ring(f"{prefix}ring:")
        self.faults = Faults(f"{prefix}sim:", self._fault)

    @property
    def pvdb(self) -> dict[str, Any]:
        """Return what is served, by PV."""
        groups = (self.mono, self.stage, self.scaler, *self.elements, self.shutter, self.ring, self.faults)
        return {name: channel for group in groups for name, channel in group.pvdb.items()}

    @property
    def _spot(self) -> Spot:
        slot = round(self.stage.actual / SLOT)
        there = abs(self.stage.actual - SLOT * slot) <= SAMPLE_WIDTH / 2 and 0 <= slot < len(self._beam.spots)
        return self._beam.spots[slot] if there else self._empty

    async def _fault(self) -> None:
        """Make what was switched on happen."""
        stalled = self.faults.stall.value
        self.mono.stalled, self.stage.stalled = stalled == "mono", stalled == "stage"
        await self.ring.current.write(0.0 if self.faults.dump.value else FULL_CURRENT)

    async def _count(self, seconds: float) -> Mapping[str, float]:
        """Count for simulated `seconds`; writes the fluorescence detector's PVs, and returns the scaler's counts."""
        lit = left = 0.0
        while left < seconds:
            part = min(seconds - left, self._pace.tick)
            await self._pace.sleep(part)
            left += part
            lit += part * self.shutter.status.value * self.ring.current.value / FULL_CURRENT
        while self.faults.hang.value:
            await asyncio.sleep(self._pace.tick if self._pace.tick < 1 else 0.1)
        hours = self._pace.elapsed / 3600
        expected = self._beam.expected(self._spot, self.mono.actual, lit, seconds, hours, CHANNELS)
        broken = self.faults.nan.value
        await self._fluoresce(expected["fluorescence"], seconds, broken == "fluorescence")
        return {name: float("nan") if name == broken else self._beam.counted(expected[name]) for name in COUNTERS}

    async def _fluoresce(self, expected: float, seconds: float, broken: bool) -> None:
        for element, share in zip(self.elements, SHARES, strict=True):
            counted = self._beam.counted(expected * share / OF_LINE)
            incoming = counted / seconds
            live = 1 / (1 + incoming * DEAD_TIME)
            await element.icr.write(incoming)
            await element.ocr.write(incoming * live)
            await element.roi.write(float("nan") if broken else self._beam.counted(expected * share * live))


class _Server(Context):
    """Send each answer at once: waiting to fill packets would halve the points per second; keep quiet on the loopback."""

    async def broadcast_beacon_loop(self) -> Any:
        if not all(interface.startswith("127.") for interface in self.interfaces):
            await super().broadcast_beacon_loop()

    async def server_accept_loop(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is accepted inherits it
        await super().server_accept_loop(sock)


def serve(beamline: ServedBeamline, interface: str, port: int | None, ready: Callable[[int], None]) -> None:
    """Serve over Channel Access until interrupted; `ready` is told the port once clients can connect.

    `port`: for searches and for connections; by default EPICS_CA_SERVER_PORT, else 5064. Raises SettingsError for an
    interface or a port that cannot be served on.
    """
    if port is not None:
        os.environ["EPICS_CA_SERVER_PORT"] = os.environ["EPICS_CAS_SERVER_PORT"] = str(port)

    async def run() -> None:
        context: Any = _Server(beamline.pvdb, [interface])

        async def tell(_async_layer: object) -> None:
            if context.port != context.ca_server_port:  # searches would reach whoever has it
                raise SettingsError(f"ioc: port {context.ca_server_port} is in use on {interface}; give another --port")
            ready(context.port)

        await context.run(startup_hook=tell)

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        return
    except (OSError, RuntimeError) as error:
        raise SettingsError(f"ioc: cannot serve on {interface} ({error}); give another --interface or --port") from error
