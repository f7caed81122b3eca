"""Beam care, around any scan: darks first, the shutter open for sweeps alone, the ring current with each point."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.protocols import Movable, Readable
from bluesky.utils import MsgGenerator

from xas_bluesky.config import Beam
from xas_bluesky.plans.axis import Axis
from xas_bluesky.plans.ring import RingCurrent
from xas_bluesky.plans.shutter import CLOSE, OPEN, BeamShutter

DARK = "dark"
"""The stream of what the detectors count with the shutter closed."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class BeamCare:
    """Care for the beam as `beam` says, with the shutter and the ring current that there are; without them, do nothing."""

    shutter: BeamShutter | None = None
    ring: RingCurrent | None = None
    beam: Beam = field(default_factory=Beam)

    @classmethod
    def of(cls, shutter: Movable[str] | None, ring_current: Any, beam: Beam) -> "BeamCare":
        """Make it for a shutter that takes "Open" and "Close", and an ophyd signal of the ring current; None for none."""
        return cls(
            BeamShutter(shutter) if shutter is not None else None,
            RingCurrent(ring_current) if ring_current is not None else None,
            beam,
        )

    def read_too(self, detectors: Sequence[Readable[Any]]) -> list[Readable[Any]]:
        """Return what is read at each point."""
        ring: list[Any] = [self.ring] if self.ring is not None else []
        return [*detectors, *ring]

    def lit(self) -> MsgGenerator[None]:
        """Have beam on the sample, before a point."""
        if self.shutter is not None:
            yield from bps.mv(self.shutter, OPEN)

    def between_sweeps(self) -> MsgGenerator[None]:
        """Close the shutter where it is to be closed while a decision is awaited."""
        if self.shutter is not None and self.beam.close_between_sweeps:
            yield from bps.mv(self.shutter, CLOSE)

    def kept(self, dwell: Axis, detectors: Sequence[Readable[Any]], plan: MsgGenerator[Result]) -> MsgGenerator[Result]:
        """Take darks, run the rest of a run's plan, and close the shutter however it ends."""
        shutter = self.shutter
        if shutter is None:
            return (yield from plan)

        def cared() -> MsgGenerator[Result]:
            yield from bps.mv(shutter, CLOSE)
            if self.beam.dark:
                yield from bps.checkpoint()
                yield from bps.mv(dwell, self.beam.dark)
                yield from bps.trigger_and_read([dwell, *detectors], name=DARK)
                yield from bps.checkpoint()
            return (yield from plan)

        def closed() -> MsgGenerator[None]:
            yield from bps.mv(shutter, CLOSE)

        return (yield from bpp.finalize_wrapper(cared(), closed))
