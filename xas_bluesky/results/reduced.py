"""Reduced scans: one record a raw run; their form in Tiled."""

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xas_bluesky.errors import SpectrumError
from xas_bluesky.results.access import OPEN, Access
from xas_bluesky.results.nexus import describe
from xas_bluesky.spectra import Absorption, Array, NormalizedSpectrum, ReducedScan, Spectrum

if TYPE_CHECKING:
    from tiled.client.container import Container

SPEC = "XASReducedScan"
ABSORPTION = ("energy", "mu", "variance")
NORMALIZED = ("energy", "norm", "flat", "pre_edge", "post_edge")


def write_reduced(reduced: "Container", scan: ReducedScan, access: Access = OPEN) -> str:
    """Write `scan` into a new container of `reduced`, remove what was there of the same run, and return its key.

    All of it carries the tags of `access`. Metadata are flat where they are searched, `nexus` in NeXus's names, flags
    reason -> indices of points. Tables, a row a point: `spectrum` (energy, a column a channel), `absorption` and `reference`
    (energy, mu, variance), `normalized` (energy, norm, flat, pre_edge, post_edge). Raises SpectrumError for a scan that is of
    no run.
    """
    uid = scan.spectrum.metadata.get("uid")
    if not isinstance(uid, str):
        raise SpectrumError("reduced scan: its metadata name no run (uid); only what was measured in a run is kept")
    earlier = list(_records_of(reduced, uid).keys())
    metadata = {**to_metadata(scan), **access.metadata()}
    container = reduced.create_container(metadata=metadata, specs=[SPEC], access_tags=access.tags)
    for name, columns in _tables(scan).items():
        container.write_table(columns, key=name, access_tags=access.tags)
    if earlier:  # last, so that there is a whole one at any time
        reduced.delete_contents(earlier, recursive=True, external_only=False)
    return container.item["id"]


def newest_of(reduced: "Container", raw_uid: str) -> "Container | None":
    """Find the record of a run; None where there is none."""
    return next(iter(_records_of(reduced, raw_uid).values()), None)


def read_reduced(container: "Container") -> ReducedScan:
    """Read back what `write_reduced` wrote."""
    metadata: dict[str, Any] = dict(container.metadata)
    spectrum, reference, normalized = _read_table(container, "spectrum"), metadata["reference"], None
    if metadata["e0"] is not None:
        figures = {"e0": metadata["e0"], "edge_step": metadata["edge_step"]}
        normalized = NormalizedSpectrum(**_read_table(container, "normalized"), **figures)
    return ReducedScan(
        spectrum=Spectrum(spectrum.pop("energy"), spectrum, metadata["scan"]),
        absorption=_read_absorption(container, "absorption", metadata["absorption"]),
        reference=None if reference is None else _read_absorption(container, "reference", reference),
        reference_e0=metadata["reference_e0"],
        shift=metadata["shift"],
        normalized=normalized,
        stage=metadata["stage"],
        unknown=metadata["unknown"],
        remarks=tuple(metadata["remarks"]),
    )


def to_metadata(scan: ReducedScan) -> dict[str, Any]:
    """Lay out a scan as JSON that Tiled can search; what is not known is None."""
    said, normalized, reference = scan.spectrum.metadata, scan.normalized, scan.reference
    nexus = describe(scan)
    metadata = {
        "raw_uid": said["uid"],
        "time": time.time(),
        **{name: said.get(name) for name in ("sample", "edge", "exit_status", "missing")},
        "element": nexus.get("element", {}).get("symbol"),
        "mode": nexus["mode"],
        "stage": scan.stage,
        "points": len(scan.spectrum),
        "left_out": _count_left_out(scan.absorption),
        "shift": scan.shift,
        "reference_e0": scan.reference_e0,
        "e0": None if normalized is None else normalized.e0,
        "edge_step": None if normalized is None else normalized.edge_step,
        "signal": scan.absorption.signal,
        "noise": scan.absorption.noise,
        "absorption": _about(scan.absorption),
        "reference": None if reference is None else _about(reference),
        "unknown": scan.unknown,
        "remarks": scan.remarks,
        "nexus": nexus,
        "scan": said,
    }
    return {name: _plain(value) for name, value in metadata.items()}


def _records_of(reduced: "Container", raw_uid: str) -> "Container":
    from tiled.queries import Key

    return reduced.search(Key("raw_uid") == raw_uid).sort(("time", -1))


def _count_left_out(absorption: Absorption) -> int:
    unusable = ~absorption.usable  # where the noise is unknown, so are the points that nothing speaks against
    return len(set[int]().union(*(np.flatnonzero(points & unusable).tolist() for points in absorption.flags.values())))


def _about(absorption: Absorption) -> dict[str, Any]:
    flags = {reason: np.flatnonzero(points) for reason, points in absorption.flags.items()}
    return {"signal": absorption.signal, "noise": absorption.noise, "flags": flags, "remarks": absorption.remarks}


def _tables(scan: ReducedScan) -> dict[str, dict[str, Array]]:
    tables = {"spectrum": {"energy": scan.spectrum.energy, **scan.spectrum.channels}}
    for name, absorption in (("absorption", scan.absorption), ("reference", scan.reference)):
        if absorption is not None:
            tables[name] = {column: getattr(absorption, column) for column in ABSORPTION}
    if scan.normalized is not None:
        tables["normalized"] = {column: getattr(scan.normalized, column) for column in NORMALIZED}
    return tables


def _read_table(container: "Container", name: str) -> dict[str, Array]:
    table: Any = container[name].read()
    return {column: table[column].to_numpy(dtype=np.float64) for column in table.columns}


def _read_absorption(container: "Container", name: str, about: Mapping[str, Any]) -> Absorption:
    columns = _read_table(container, name)
    energy, mu, variance = (columns[column] for column in ABSORPTION)
    flags = {reason: np.isin(np.arange(len(energy)), points) for reason, points in about["flags"].items()}
    return Absorption(energy, mu, variance, about["signal"], about["noise"], flags, tuple(about["remarks"]))


def _plain(value: Any) -> Any:
    """Give a value as JSON has it, which knows neither numpy's types nor nan."""
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float) else str(value)
