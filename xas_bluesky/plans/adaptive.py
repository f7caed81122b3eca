"""The adaptive scan: measure, ask, measure what is asked for, until told to stop."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.protocols import Readable
from bluesky.utils import MsgGenerator

from xas_bluesky.config import Settings
from xas_bluesky.decision import Decision, ScanRequest, widest_gaps
from xas_bluesky.plans.xas_scan import Axis, measure, xas_metadata

PATIENCE = 10.0
"""Seconds that a scan waits for a decision before it goes on with the conventional scan."""
STOPGAP = 8
"""Conventional points measured while a decision is late or missing."""


def wait_at_most(future: "Future[Any]", seconds: float | None) -> MsgGenerator[bool]:
    """Wait for `future` while the RunEngine stays free, to pause for one; return whether it is done. Never raises for it."""

    async def ended() -> None:
        await asyncio.gather(asyncio.wrap_future(future), return_exceptions=True)

    yield from bps.checkpoint()  # resuming from a pause waits again, and repeats nothing that came before
    with suppress(TimeoutError):
        yield from bps.wait_for([ended], timeout=seconds)
    return future.done()


class Decider(Protocol):
    """Say what to measure next."""

    def scout(self) -> ScanRequest:
        """Return the first request of a run."""
        ...

    def ask(self) -> "Future[Decision]":
        """Decide in the background from everything measured so far."""
        ...


def agent_scan(
    energy: Axis,
    dwell: Axis,
    detectors: Sequence[Readable[Any]],
    decider: Decider,
    conventional: ScanRequest,
    *,
    edge: str,
    sample: str,
    settings: Settings | None = None,
    md: Mapping[str, Any] | None = None,
    patience: float = PATIENCE,
    most: int | None = None,
) -> MsgGenerator[str]:
    """Measure what the decider asks for, in one run of one stream, and return its uid.

    While a decision is late or failed, the points of the conventional scan are measured, the widest gaps first; when
    all of them are, or `most` points in all, the run ends. So it always leaves a usable spectrum.
    """
    about = xas_metadata(energy, detectors, edge, sample, settings or Settings())
    start = {"plan_name": "agent_scan", **(md or {}), **about}

    def steps() -> MsgGenerator[None]:
        request: ScanRequest | None = decider.scout()
        measured: list[float] = []
        while request is not None:
            yield from measure(energy, dwell, detectors, request)
            measured.extend(request.energy)
            future = decider.ask()
            if (yield from wait_at_most(future, patience)) and future.exception() is None:
                request = future.result().request
            else:
                left = len(conventional) if most is None else most - len(measured)
                request = widest_gaps(conventional, measured, min(STOPGAP, left))

    scan = bpp.run_wrapper(steps(), md=start)
    return (yield from bpp.stage_wrapper(scan, detectors))
