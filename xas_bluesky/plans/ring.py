"""The ring current: recorded with each point, and waited for when it is low."""

import math
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from typing import Any

from bluesky.suspenders import SuspendFloor

from xas_bluesky.config import Beam

AGAIN = 0.2
"""Seconds after which the RunEngine, too busy to suspend, is told again."""


class RingCurrent:
    """Read the ring current with each point, and the lowest it was since the point before: a dump between two shows.

    `signal` is an ophyd signal; what it last sent is taken, so that reading costs nothing, and one that is gone costs no
    scan: its current is NaN.
    """

    name = "ring_current"
    parent = None

    def __init__(self, signal: Any) -> None:
        self._signal = signal
        self._lock = threading.Lock()
        self._now = self._lowest = math.nan
        self._when = time.time()
        with suppress(Exception):  # of whatever kind a signal says it has no value with
            self._changed(signal.get())
        signal.subscribe(self._changed)

    def _changed(self, value: Any = None, **_: Any) -> None:
        with self._lock:
            self._now, self._when = _number(value), time.time()
            self._lowest = _lower(self._lowest, self._now)

    def stage(self) -> list[object]:
        """Begin anew: what was before this run is of no account."""
        with self._lock:
            self._lowest = self._now
        return [self]

    def unstage(self) -> list[object]:
        """Do nothing."""
        return [self]

    def read(self) -> "OrderedDict[str, dict[str, Any]]":
        """Return the current, and the lowest since the last reading."""
        with self._lock:
            now, lowest, self._lowest = self._now, self._lowest, self._now
        stamp = {"timestamp": self._when}
        return OrderedDict(ring_current={"value": now, **stamp}, ring_current_lowest={"value": lowest, **stamp})

    def describe(self) -> "OrderedDict[str, dict[str, Any]]":
        """Describe both."""
        about: dict[str, Any] = {"source": f"ring: {self._signal.name}", "dtype": "number", "shape": []}
        return OrderedDict(ring_current=about, ring_current_lowest=dict(about))


class RingSuspender(SuspendFloor):
    """Suspend below a current, also when the RunEngine was busy as it fell: Bluesky's own gives up after 0.1 s."""

    def __call__(self, value: Any, **kwargs: Any) -> None:
        """Take a new current."""
        try:
            super().__call__(value, **kwargs)
        except RuntimeError:
            later = threading.Timer(AGAIN, lambda: self(self._sig.get()))
            later.daemon = True
            later.start()


def ring_suspender(signal: Any, beam: Beam) -> SuspendFloor | None:
    """Make what has the RunEngine wait while the ring current is low: `RE.install_suspender(...)`; None without a limit."""
    if signal is None or beam.least_current is None:
        return None
    why = f"plans wait until the beam was back for {beam.recovery:g} s"
    return RingSuspender(signal, beam.least_current, sleep=beam.recovery, tripped_message=why)


def _number(value: object) -> float:
    try:
        return float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        return math.nan


def _lower(first: float, second: float) -> float:
    return second if math.isnan(first) else first if math.isnan(second) else min(first, second)
