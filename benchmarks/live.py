"""What the live reduction costs a scan, and how long after its event a point is reduced.

    python benchmarks/live.py [POINTS ...]

For each number of points: a RunEngine measures an edge on the simulated beamline's counters as fast as it can, alone, with
the live reduction, and with Bluesky's own LiveTable for comparison, by turns; the cost is the difference in wall time per
event (median over the rounds), and the time spent in the callback itself. Then events come at 50 a second, and the latency is
the time from the RunEngine's event until its reduction is back in the RunEngine's process.
"""

import io
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import numpy as np
from bluesky import RunEngine
from bluesky.callbacks import LiveTable
from ophyd import Signal

from xas_bluesky.live import LiveReduction

ROUNDS = 3
RATE = 50.0
EDGE = 8979.0
LIMIT_MS, LIMIT_P99_MS = 0.2, 20.0


class Channels:
    """Hold the signals of a scan over the copper edge."""

    def __init__(self) -> None:
        self.signals = {name: Signal(name=name, value=0.0) for name in ("energy", "dwell", "i0", "itrans", "irefer")}
        self._random = np.random.default_rng(0)

    def put(self, energy: float) -> None:
        """Count at one energy."""
        mu = 0.5 + np.arctan(energy - EDGE) / np.pi
        i0 = self._random.poisson(1e6)
        itrans = self._random.poisson(1e6 * np.exp(-mu))
        for name, value in {"energy": energy, "dwell": 1.0, "i0": i0, "itrans": itrans, "irefer": 0.5 * itrans + 1}.items():
            self.signals[name].put(value)

    def scan(self, points: int, wait: float = 0.0) -> Any:
        """Measure from 150 eV below to 800 eV above the edge."""
        noise = {"i0": "photons", "itrans": "photons", "irefer": "photons"}

        @bpp.run_decorator(md={"xas": {"edge": "Cu K", "noise": noise}})
        def plan() -> Any:
            for energy in np.linspace(EDGE - 150, EDGE + 800, points):
                self.put(float(energy))
                yield from bps.create()
                for signal in self.signals.values():
                    yield from bps.read(signal)
                yield from bps.save()
                if wait:
                    yield from bps.sleep(wait)

        return plan()


def seconds_per_event(points: int, callback: Callable[[str, Any], None] | None) -> float:
    """Measure one scan; return the wall time per event."""
    channels, engine = Channels(), RunEngine({})
    if callback is not None:
        engine.subscribe(callback)
    began = time.perf_counter()
    with redirect_stdout(io.StringIO()):
        engine(channels.scan(points))
    return (time.perf_counter() - began) / points


class Timed:
    """Time the calls of a callback."""

    def __init__(self, callback: Callable[[str, Any], None]) -> None:
        self.seconds: list[float] = []
        self._callback = callback

    def __call__(self, name: str, doc: Any) -> None:
        """Pass a document on."""
        began = time.perf_counter()
        self._callback(name, doc)
        self.seconds.append(time.perf_counter() - began)


def cost(points: int) -> dict[str, float]:
    """Return milliseconds per event: of the RunEngine alone, and added by us and by LiveTable."""
    alone, with_us, with_table, called = [], [], [], []
    for _ in range(max(ROUNDS, 20 if points < 100 else 0)):
        alone.append(seconds_per_event(points, None))
        with LiveReduction() as live:
            timed = Timed(live)
            wait_until_idle(live)
            with_us.append(seconds_per_event(points, timed))
            called.extend(timed.seconds)
        with_table.append(seconds_per_event(points, LiveTable(["energy", "i0", "itrans"])))
    base = float(np.median(alone))
    return {
        "engine alone": 1e3 * base,
        "added by us": 1e3 * (float(np.median(with_us)) - base),
        "added by LiveTable": 1e3 * (float(np.median(with_table)) - base),
        "our callback itself": 1e3 * float(np.mean(called)),
    }


def wait_until_idle(live: LiveReduction) -> None:
    """Let the worker start: a session starts it long before the first scan."""
    live("start", {"uid": "warm", "time": 0.0})
    live("stop", {"uid": "cold", "run_start": "warm", "time": 0.0, "exit_status": "success"})
    while live.waiting:
        time.sleep(0.01)


def latencies(points: int, rate: float) -> np.ndarray[Any, Any]:
    """Return the seconds from each event to the message that says it is reduced."""
    sent: list[float] = []
    heard: list[tuple[float, int]] = []

    class Heard(LiveReduction):
        def _hear(self, worker: Any, message: Any) -> None:
            super()._hear(worker, message)
            heard.append((time.perf_counter(), message["handled"]))

    with Heard() as live:
        wait_until_idle(live)
        offset = heard[-1][1]
        channels, engine = Channels(), RunEngine({})
        engine.subscribe(lambda *_: sent.append(time.perf_counter()))
        engine.subscribe(live)
        # the last hundred of so many points, after the others came in one burst
        engine(at_the_end_slowly(channels, points, 1 / rate))
    times, handled = (np.array(values) for values in zip(*heard, strict=True))
    numbers = offset + 1 + np.arange(len(sent))
    back = times[np.searchsorted(handled, numbers)]
    return (back - np.array(sent))[-101:-1]


def at_the_end_slowly(channels: Channels, points: int, wait: float) -> Any:
    """Measure all but the last hundred points in a burst, these at the rate asked for."""
    plan = channels.scan(points)
    count, message = 0, next(plan)
    result = None
    try:
        while True:
            result = yield message
            if message.command == "save":
                count += 1
                if count == points - 100:
                    yield from bps.sleep(1.0)
                if count >= points - 100:
                    yield from bps.sleep(wait)
            message = plan.send(result)
    except StopIteration:
        return


def main() -> None:
    """Print the tables."""
    asked = [int(text) for text in sys.argv[1:]] or [10, 100, 1000, 10_000]
    print(
        "points  "
        + "  ".join(f"{name:>20}" for name in ("engine alone", "added by us", "added by LiveTable", "our callback itself"))
    )
    for points in asked:
        found = cost(points)
        print(f"{points:6d}  " + "  ".join(f"{value:17.4f} ms" for value in found.values()))
    print(f"limit: {LIMIT_MS} ms added per event")
    print("points  latency: median, p99, largest")
    for points in asked:
        found = 1e3 * latencies(max(points, 101), RATE)
        print(f"{points:6d}  {np.median(found):.1f} ms, {np.quantile(found, 0.99):.1f} ms, {found.max():.1f} ms")
    print(f"limit: p99 of {LIMIT_P99_MS:g} ms")


if __name__ == "__main__":
    main()
