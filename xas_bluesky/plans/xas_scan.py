"""The conventional absorption scan, and the inner loop that every scan shares."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.protocols import Movable, Readable
from bluesky.utils import MsgGenerator

from xas_bluesky.config import Mono, Settings
from xas_bluesky.decision import ScanRequest
from xas_bluesky.edges import find_edge
from xas_bluesky.plans.approach import Approach
from xas_bluesky.plans.limits import limits_of, reachable


class Axis(Movable[float], Readable[Any], Protocol):
    """Be moved by a plan, and read at each point."""


def measure(
    energy: Axis, dwell: Axis, detectors: Sequence[Readable[Any]], request: ScanRequest, mono: Mono | None = None
) -> MsgGenerator[None]:
    """Measure the points of `request` within an open run, as one sweep: one event of the stream primary per point.

    The sweep is begun from below as `mono` says, and so it goes on after a pause. The dwell is set where it changes.
    `energy`, `dwell` and `detectors` are read at each point.
    """
    mono, seconds_set = mono or Mono(), None
    approach = Approach(energy, mono) if mono.backlash or mono.settle else None
    for target, seconds in zip(request.energy.tolist(), request.dwell.tolist(), strict=True):
        yield from bps.checkpoint()
        if approach:
            yield from bps.mv(approach, target)
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
        "xas": {"edge": str(find_edge(edge)), **settings.model_dump(mode="json", exclude_unset=True, exclude={"devices"})},
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
    metadata. Points outside the limits of the energy are left out. Raises EdgeError for an unknown edge, SettingsError
    when no point is left.
    """
    settings = settings or Settings()
    request = reachable(request, limits_of(energy, settings.mono))
    about = xas_metadata(energy, detectors, edge, sample, settings)
    start = {"plan_name": "xas_scan", "num_points": len(request), **(md or {}), **about}

    scan = bpp.run_wrapper(measure(energy, dwell, detectors, request, settings.mono), md=start)
    return (yield from bpp.stage_wrapper(scan, detectors))
