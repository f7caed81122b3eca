"""The conventional absorption scan, and the inner loop that every scan shares."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.protocols import Readable
from bluesky.utils import MsgGenerator

from xas_bluesky.config import Mono, Settings
from xas_bluesky.decision import ScanRequest
from xas_bluesky.edges import Edge, find_edge
from xas_bluesky.plans.approach import Approach
from xas_bluesky.plans.axis import Axis
from xas_bluesky.plans.care import BeamCare
from xas_bluesky.plans.limits import limits_of, reachable


def measure(
    energy: Axis,
    dwell: Axis,
    detectors: Sequence[Readable[Any]],
    request: ScanRequest,
    mono: Mono | None = None,
    care: BeamCare | None = None,
) -> MsgGenerator[None]:
    """Measure the points of `request` within an open run, as one sweep: one event of the stream primary per point.

    The sweep is begun from below as `mono` says, and so it goes on after a pause. The dwell is set where it changes.
    `energy`, `dwell` and `detectors` are read at each point, and the ring current where `care` has one. The shutter is
    opened when the mono is where the sweep begins.
    """
    mono, care, seconds_set = mono or Mono(), care or BeamCare(), None
    read = [energy, dwell, *care.read_too(detectors)]
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
        yield from care.lit()
        yield from bps.trigger_and_read(read)


def xas_metadata(
    energy: Axis, detectors: Sequence[Readable[Any]], edge: str, sample: str, settings: Settings
) -> dict[str, Any]:
    """Return the start document's metadata of an absorption scan; raises EdgeError for an unknown edge."""
    found = find_edge(edge)
    return {
        "sample_name": sample,
        "element": found.absorber,
        "edge": found.level,
        "XDI": _xdi(found, sample, settings),
        "xas_bluesky_version": version("xas-bluesky"),
        "xas": {"edge": str(found), **settings.model_dump(mode="json", exclude_unset=True, exclude={"devices"})},
        "motors": [energy.name],
        "detectors": [detector.name for detector in detectors],
        "hints": {"dimensions": [([settings.channels.energy], "primary")]},
    }


def _xdi(edge: Edge, sample: str, settings: Settings) -> dict[str, dict[str, Any]]:
    """Return what XDI's dictionary names and the settings say; what is not known is left out."""
    mono, place = settings.mono, settings.beamline
    fields = {
        "Element": {"symbol": edge.absorber, "edge": edge.level},
        "Scan": {"edge_energy": edge.energy},
        "Mono": {"name": mono.name, "d_spacing": mono.d_spacing},
        "Sample": {"name": sample},
        "Facility": {"name": place.facility},
        "Beamline": {"name": place.name},
    }
    known = {family: {tag: value for tag, value in tags.items() if value} for family, tags in fields.items()}
    return {family: tags for family, tags in known.items() if tags}


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
    care: BeamCare | None = None,
) -> MsgGenerator[str]:
    """Measure an absorption spectrum in one run, and return its uid.

    `edge` as in "S K"; `sample`: its name; `settings`: the beamline's, written into the start document; `md`: further
    metadata; `care`: for the beam, none by default. Points outside the limits of the energy are left out. Raises EdgeError
    for an unknown edge, SettingsError when no point is left.
    """
    settings = settings or Settings()
    request = reachable(request, limits_of(energy, settings.mono))
    about = xas_metadata(energy, detectors, edge, sample, settings)
    start = {"plan_name": "xas_scan", "num_points": len(request), **(md or {}), **about}

    care = care or BeamCare()
    sweep = measure(energy, dwell, detectors, request, settings.mono, care)
    scan = bpp.run_wrapper(care.kept(dwell, detectors, sweep), md=start)
    return (yield from bpp.stage_wrapper(scan, care.read_too(detectors)))
