"""What NeXus asks to be said of an XAS spectrum, in its own names.

Definition, element, edge, energy, intensity and detectors by NXxas and its kinds NXxas_trans and NXxas_tey
(nexusformat/definitions, contributed_definitions, 2026); `mode` by the texts of the older NXxas's NXdata, `calculated` by
NXxas_new, which readers may still look for.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from xas_bluesky.edges import find_edge
from xas_bluesky.errors import EdgeError
from xas_bluesky.files.xdi_fields import iso_time
from xas_bluesky.spectra import ReducedScan

MODES = {
    "transmission": "Transmission",
    "fluorescence": "Fluorescence Yield",
    "electron_yield": "Total Electron Yield",
}
DEFINITIONS = {"transmission": "NXxas_trans", "electron_yield": "NXxas_tey"}
"""For fluorescence it would have to be known whether a line was selected (NXxas_pfy) or not (NXxas_tfy)."""
DETECTORS = {"i0": "i0", "itrans": "itrans", "irefer": "iref", "fluorescence": "ifluor", "electron_yield": "iey"}


def describe(scan: ReducedScan) -> dict[str, Any]:
    """Describe a scan as an NXentry, JSON; a field whose numbers stand in the record is {"target": table/column}."""
    said, signal = scan.spectrum.metadata, scan.absorption.signal
    entry: dict[str, Any] = {
        "definition": DEFINITIONS.get(signal, "NXxas"),
        "mode": MODES.get(signal),
        "is_experimental": True,
        "calculated": False,
        "start_time": iso_time(said.get("start_time")),
        "end_time": iso_time(said.get("stop_time")),
        "sample": {"name": str(said.get("sample", ""))},
        "energy": {"target": "absorption/energy", "units": "eV"},
        "intensity": {"target": "absorption/mu"},
        "instrument": _instrument(scan),
    }
    with suppress(EdgeError):
        edge = find_edge(str(said.get("edge", "")))
        entry["element"] = {"symbol": edge.absorber}
        entry["edge"] = {"name": edge.level, "energy": {"value": edge.energy, "units": "eV"}}
    return entry


def _instrument(scan: ReducedScan) -> dict[str, Any]:
    xdi = scan.spectrum.metadata.get("xdi")
    given: Mapping[Any, Any] = xdi if isinstance(xdi, Mapping) else {}
    detectors = {
        name: {"data": {"target": f"spectrum/{channel}"}}
        for channel, name in DETECTORS.items()
        if channel in scan.spectrum.channels
    }
    return {
        "name": given.get("Beamline.name"),
        "source": {"name": given.get("Facility.name"), "type": given.get("Facility.xray_source"), "probe": "x-ray"},
        "monochromator": {
            "energy": {"target": "spectrum/energy", "units": "eV"},
            "crystal": {"type": given.get("Mono.name"), "d_spacing": given.get("Mono.d_spacing")},
        },
        **detectors,
    }
