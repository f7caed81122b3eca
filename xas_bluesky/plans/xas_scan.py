"""The conventional absorption scan, and the inner loop that every scan shares."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.protocols import Movable, Readable
from bluesky.utils import MsgGenerator

from xas_bluesky.config import Settings
from xas_bluesky.decision.scan_request import ScanRequest
from xas_bluesky.edges import find_edge


class Axis(Movable[float], Readable[Any], Protocol):
    """Be moved by a plan, and read at each point."""


def measure(energy: Axis, dwell: Axis, detectors: Sequence[Readable[Any]], request: ScanRequest) -> MsgGenerator[None]:
    """Measure the points of `request` within an open run: one event of the stream primary per point.

    The dwell is set where it changes. `energy`, `dwell` and `detectors` are read at each point.
    """
    seconds_set = None
    for target, seconds in zip(request.energy.tolist(), request.dwell.tolist(), strict=True):
        yield from bps.checkpoint()
        if seconds == seconds_set:
            yield from bps.mv(energy, target)
        else:
            yield from bps.mv(energy, target, dwell, seconds)
            seconds_set = seconds
        yield from bps.trigger_and_read([energy, dwell, *detectors])


def xas_metadata(
    energy: Axis, detectors: Sequence[Readable[Any]], edge: str, sample: str, settings: Settings
) -> dict[str, Any]:
    """Return the start document's metadata of an absorption scan; raises EdgeError for an unknown edge."""
    return {
        "sample_name": sample,
        "xas": {"edge": str(find_edge(edge)), **settings.model_dump(mode="json", exclude_unset=True)},
        "motors": [energy.name],
        "detectors": [detector.name for detector in detectors],
        "hints": {"dimensions": [([settings.channels.energy], "primary")]},
    }


def xas_scan(
    energy: Axis,
    dwell: Axis,
    detectors: Sequence[Readable[Any]],
    request: ScanRequest,
    *,
    edge: str,
    sample: str,
    settings: Settings | None = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[str]:
    """Measure an absorption spectrum in one run, and return its uid.

    `edge` as in "S K"; `sample`: its name; `settings`: the beamline's, written into the start document; `md`: further
    metadata. Raises EdgeError for an unknown edge.
    """
    about = xas_metadata(energy, detectors, edge, sample, settings or Settings())
    start = {"plan_name": "xas_scan", "num_points": len(request), **(md or {}), **about}

    scan = bpp.run_wrapper(measure(energy, dwell, detectors, request), md=start)
    return (yield from bpp.stage_wrapper(scan, detectors))
