"""One beamline: its devices, and the scan that would be run there without an agent."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bluesky.protocols import Movable, Readable
from ophyd import Signal

from xas_bluesky.config import Settings
from xas_bluesky.decision import ScanRequest, regions
from xas_bluesky.edges import find_edge
from xas_bluesky.plans.axis import Axis

BOUNDS = (-30.0, -10.0, 30.0, 45.0)
STEPS = (2.0, 0.2, 1.0)
DWELL = 1.0
"""The conventional scan: regions (eV from the edge), their steps (eV), and seconds a point."""
OVERHEAD = 0.5
"""Seconds of motion and settling that a point is taken to cost."""


class Shutter(Movable[str], Readable[Any], Protocol):
    """Be opened and closed by a plan, and read."""


def wall_clock() -> tuple[float, float]:
    """Say the seconds passed, and that photons are not counted: what real devices `used`."""
    return time.monotonic(), float("nan")


@dataclass(frozen=True, slots=True)
class Devices:
    """Name what a plan moves and reads; `used` says the seconds and photons used since the devices were made.

    Where the beamline has them: `shutter` is set to "Open" or "Close" and reads which it is, `ring_current` is an ophyd
    signal (mA) that a suspender can watch, `stage` is set to the number of a sample's slot.
    """

    energy: Axis
    dwell: Axis
    detectors: Sequence[Readable[Any]]
    used: Callable[[], tuple[float, float]] = wall_clock
    settings: Settings = Settings()  # noqa: RUF009  (frozen)
    shutter: Shutter | None = None
    ring_current: Signal | None = None
    stage: Axis | None = None


def conventional_scan(edge: str) -> ScanRequest:
    """Return the conventional scan around an edge."""
    return regions(find_edge(edge).energy, BOUNDS, STEPS, DWELL)
