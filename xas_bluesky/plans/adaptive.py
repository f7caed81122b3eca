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
from xas_bluesky.plans.axis import Axis
from xas_bluesky.plans.care import BeamCare
from xas_bluesky.plans.limits import Limits, limits_of, reachable, within
from xas_bluesky.plans.xas_scan import measure, xas_metadata

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


def next_request(
    decider: Decider,
    conventional: ScanRequest,
    measured: Sequence[float],
    limits: Limits,
    *,
    patience: float = PATIENCE,
    most: int | None = None,
) -> MsgGenerator[ScanRequest | None]:
    """Ask the decider, and return what to measure next, within the limits; None to stop.

    While its decision is late or failed, or asks for nothing within the limits, that is the next piece of the conventional
    scan, the widest gaps between the energies `measured` first; None when all of it is, or `most` points in all.
    """
    yield from bps.checkpoint()  # what is decided from is not measured again
    future = decider.ask()
    if (yield from wait_at_most(future, patience)) and future.exception() is None:
        wanted = future.result().request
        request = None if wanted is None else within(wanted, limits)
        if wanted is None or request is not None:
            return request
    left = len(conventional) if most is None else most - len(measured)
    return widest_gaps(conventional, measured, min(STOPGAP, left))


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
    care: BeamCare | None = None,
) -> MsgGenerator[str]:
    """Measure what the decider asks for, each request in a sweep, in one run of one stream, and return its uid.

    Where there is no decision, `next_request` falls back on the conventional scan, so that a usable spectrum is always left.
    `care`: for the beam, none by default; with it, the shutter is closed while a decision is awaited.
    Raises EdgeError for an unknown edge, and SettingsError when nothing of that scan lies within the limits of the energy.
    """
    settings = settings or Settings()
    limits = limits_of(energy, settings.mono)
    conventional = reachable(conventional, limits)
    about = xas_metadata(energy, detectors, edge, sample, settings)
    start = {"plan_name": "agent_scan", **(md or {}), **about}
    care = care or BeamCare()

    def steps() -> MsgGenerator[None]:
        request = within(decider.scout(), limits) or widest_gaps(conventional, [], STOPGAP)
        measured: list[float] = []
        while request is not None:
            yield from measure(energy, dwell, detectors, request, settings.mono, care)
            measured.extend(request.energy)
            yield from care.between_sweeps()
            request = yield from next_request(decider, conventional, measured, limits, patience=patience, most=most)

    scan = bpp.run_wrapper(care.kept(dwell, detectors, steps()), md=start)
    return (yield from bpp.stage_wrapper(scan, care.read_too(detectors)))
