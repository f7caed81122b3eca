"""The header fields of an XDI file: what a run was given, and what was found in it."""

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.edges import find_edge
from xas_bluesky.errors import EdgeError
from xas_bluesky.spectra import Absorption, ReducedScan, Spectrum

NAMESPACE = "xas_bluesky"
"""The namespace of our own fields, spelled as in the version line: XDI's library looks for it there."""
FIELD = re.compile(r"([A-Za-z][A-Za-z0-9_]+)\.([A-Za-z0-9_]+)")
"""What XDI's library takes for the name of a field; it has no dashes."""
NOT_FOR_OTHERS = {"column", "outer", NAMESPACE}
"""Namespaces that readers act upon."""
LONGEST_VALUE = 1000
"""Characters of a value: XDI wants lines below 2048, its library overruns at 8192 bytes."""
LONGEST_NAME = 100

Points = NDArray[np.bool_]
Fields = Iterable[tuple[str, str]]


def fields_of(scan: ReducedScan) -> Fields:
    """Name all that is known of a scan, (name, value), a line each; some values may be empty."""
    fields = _given(scan.spectrum.metadata.get("xdi"))
    known = {name.lower() for name in fields}
    yield from fields.items()
    yield from ((name, value) for name, value in _defined(scan.spectrum) if name.lower() not in known)
    yield from ((f"{NAMESPACE}.{name}", one_line(value)) for name, value in _found(scan) if value is not None)
    yield f"{NAMESPACE}.flags", "0 good, 1 left out, 2 suspect; points are counted from 1"
    yield from _flags("flag", scan.absorption)
    if scan.reference is not None:
        yield from _flags("murefer_flag", scan.reference)


def one_line(value: object) -> str:
    """Spell a value without line breaks and control characters, cut where it is too long."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(value)).strip()
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def iso_time(seconds: object) -> str | None:
    """Spell a time (unix s) by ISO 8601, in local time with its offset; None unless it is one."""
    try:
        return datetime.fromtimestamp(float(str(seconds))).astimezone().isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def point_fields(kind: str, text: str, points: Points, number: int = 1) -> list[tuple[str, str]]:
    """Name `points` after `text`, in as many fields as it takes, counted from `number`."""
    pieces = textwrap.wrap(", ".join(_spans(points)), LONGEST_VALUE // 2, break_on_hyphens=False)
    return [(f"{NAMESPACE}.{kind}_{at}", f"{text} {piece.rstrip(',')}") for at, piece in enumerate(pieces, number)]


def read_points(spans: Sequence[str]) -> list[int]:
    """Read back the indices of points that `point_fields` named, as words."""
    ends = [[int(end) for end in span.strip(",").split("-")] for span in spans]
    return [point - 1 for span in ends for point in range(span[0], span[-1] + 1)]


def _spans(points: Points) -> Iterable[str]:
    counted = (np.flatnonzero(points) + 1).tolist()
    for _, group in groupby(enumerate(counted), lambda pair: pair[1] - pair[0]):
        run = [point for _, point in group]
        yield str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}"


def _given(xdi: object) -> dict[str, str]:
    """Take the fields a run was given, under names and with values that readers can bear."""
    fields: dict[str, str] = {}
    taken: set[str] = set()
    for given, value in xdi.items() if isinstance(xdi, Mapping) else ():
        name, text = _bearable(str(given)[:LONGEST_NAME], one_line(value))
        unique, number = name, 1
        while unique.lower() in taken:
            number += 1
            unique = f"{name}_{number}"
        if text:
            taken.add(unique.lower())
            fields[unique] = text
    return fields


def _bearable(name: str, text: str) -> tuple[str, str]:
    match = FIELD.fullmatch(name)
    if match and "mono" in match[1].lower() and match[2].lower() in ("d_spacing", "dspacing"):
        number = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(Å|A|[Aa]ng\w*)?", text)  # larch insists on a number
        match, text = (match, number[1]) if number else (None, text)
    if match is None or match[1].lower() in NOT_FOR_OTHERS:
        return f"{NAMESPACE}.given_{re.sub('[^A-Za-z0-9_]', '_', name)}", text
    return name, text


def _defined(spectrum: Spectrum) -> Fields:
    """Fill in what XDI's dictionary defines and the spectrum knows."""
    said = spectrum.metadata
    with suppress(EdgeError):
        edge = find_edge(str(said.get("edge", "")))
        yield from (("Element.symbol", edge.absorber), ("Element.edge", edge.level), ("Scan.edge_energy", f"{edge.energy} eV"))
    yield "Sample.name", one_line(said.get("sample") or "")
    for name, key in (("Scan.start_time", "start_time"), ("Scan.end_time", "stop_time")):
        yield name, iso_time(said.get(key)) or ""


def _found(scan: ReducedScan) -> Iterable[tuple[str, object]]:
    said, normalized, energy = scan.spectrum.metadata, scan.normalized, scan.spectrum.energy
    increasing = bool((energy[1:] > energy[:-1]).all())
    yield "order", "time; the energies increase" if increasing else "time; the energies do not increase, sort them first"
    yield "points", len(scan.spectrum)
    yield "missing", said.get("missing")
    yield "run_uid", said.get("uid")
    yield "exit_status", said.get("exit_status")
    yield "stage", scan.stage
    yield "signal", scan.absorption.signal
    yield "noise", scan.absorption.noise
    yield "shift", f"{scan.shift!r} eV, to be added to the energies"
    yield "reference_e0", None if scan.reference_e0 is None else f"{scan.reference_e0!r} eV, as measured"
    yield "e0", None if normalized is None else f"{normalized.e0!r} eV, with the shift"
    yield "edge_step", None if normalized is None else repr(normalized.edge_step)
    yield from ((f"unknown_{number}", f"{name}: {why}") for number, (name, why) in enumerate(scan.unknown.items(), 1))
    yield from ((f"remark_{number}", text) for number, text in enumerate(scan.remarks, 1))
    about_foil = () if scan.reference is None else scan.reference.remarks
    yield from ((f"murefer_remark_{number}", text) for number, text in enumerate(about_foil, 1))


def _flags(kind: str, absorption: Absorption) -> Fields:
    number = 1
    for reason, points in absorption.flags.items():
        fields = point_fields(kind, f"{one_line(reason)[: LONGEST_VALUE // 4]}: points", points, number)
        number += len(fields)
        yield from fields
