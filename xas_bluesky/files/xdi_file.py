"""A reduced scan as an XDI file, the text that xraylarch, Athena and `read_spectrum` read."""

import os
import re
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.errors import SettingsError, SpectrumError
from xas_bluesky.files.xdi_fields import NAMESPACE, fields_of, one_line, point_fields, read_points
from xas_bluesky.spectra import Absorption, Array, ReducedScan

MU = {"transmission": "mutrans", "fluorescence": "mufluor", "reference": "murefer", "electron_yield": "muyield"}
MEASURED_MU = "xmu"
UNITS = {"dwell": "s", "energy_setpoint": "eV"}
STAND_IN = 1e30
"""Written for infinity: XDI allows neither that nor nan, and its library refuses a whole file for one of them."""
NOT_FINITE = {"nan": np.isnan, "inf": np.isposinf, "-inf": np.isneginf}

Column = tuple[str, str, NDArray[Any]]
"""Label, unit, values (n,)."""


def write_xdi(path: Path, scan: ReducedScan) -> None:
    """Write a scan as an XDI 1.0 file, whole or not at all.

    A row a point, in time order. Columns: `energy` (eV, as measured, without the shift), the absorption by its signal
    (mutrans, mufluor, muyield, or xmu where mu was measured as such) with its standard deviation (…_std) and `flag` (0
    good, 1 left out, 2 suspect), the channels (i0, itrans, irefer, ifluor, ifluor_1, iyield, dwell, …), and murefer with
    its own. Numbers have all their digits; for nan stands 0 (between the neighbours for an energy), for infinity 1e30,
    and fields say where. Fields: all of `metadata["xdi"]`, as xas_bluesky.given_… where XDI cannot name it, and as
    xas_bluesky.… what the reduction found, with remarks and flags in words; XDI keeps its comments for experimenters.
    Raises SpectrumError for a scan without points, SettingsError where the file cannot be written or holds another run.
    Source: XAFS Data Interchange (doi:10.1088/1742-6596/712/1/012148).
    """
    if not len(scan.spectrum):
        raise SpectrumError(f"{path}: the scan has no points, so there is nothing to write; measure at least one")
    text = _text_of(scan)
    with _explained(path):
        if path.exists() and not _holds_run_of(path, scan):
            raise SettingsError(f"{path}: holds another run, or something else; give another name, as xdi_path does")
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            unfinished.write_bytes(text.encode())
            unfinished.replace(path)
        finally:
            with suppress(OSError):
                unfinished.unlink()


def save_xdi(folder: Path, scan: ReducedScan) -> Path:
    """Write a scan as an XDI file of its own in `folder`, and return its path; see `write_xdi` and `xdi_path`."""
    path = xdi_path(folder, scan)
    write_xdi(path, scan)
    return path


def xdi_path(folder: Path, scan: ReducedScan) -> Path:
    """Choose the file of a scan: <sample>_<element>_<edge>_<first 8 of the uid>.xdi, in ASCII letters, digits, _ and -.

    A file of the same run is taken again; beside one of another run the name ends in _2, _3, … Raises SettingsError
    where the folder cannot be read.
    """
    said = scan.spectrum.metadata
    words = [str(said.get(name) or "")[:length] for name, length in (("sample", 80), ("edge", 10), ("uid", 8))]
    sample, *rest = (re.sub(r"[^A-Za-z0-9-]+", "_", word).strip("_-") for word in words)
    stem = "_".join(filter(None, [sample or "scan", *rest]))
    path, number = folder / f"{stem}.xdi", 1
    with _explained(path):
        while path.exists() and not _holds_run_of(path, scan):
            number += 1
            path = folder / f"{stem}_{number}.xdi"
    return path


def restore(fields: Mapping[str, str], label: str, values: Array) -> Array:
    """Put nan and infinity back into the column called `label`, where a file's `fields` (names in lower case) say.

    Raises SpectrumError for fields that `write_xdi` did not write.
    """
    restored = values.copy()
    for name, value in fields.items():
        if name.startswith(f"{NAMESPACE}.not_finite_"):
            try:
                column, number, *spans = value.split()
                if column == label:
                    restored[read_points(spans)] = float(number)
            except (ValueError, IndexError) as error:
                raise SpectrumError(f"field {name}: {value!r} names no points of a column; get the file again") from error
    return restored


@contextmanager
def _explained(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be written ({error.strerror}); give a folder where you may write (the run itself is not lost)"
        ) from error


def _holds_run_of(path: Path, scan: ReducedScan) -> bool:
    uid = scan.spectrum.metadata.get("uid")
    if uid is None or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as lines:
        return f"# {NAMESPACE}.run_uid: {one_line(uid)}\n" in lines


def _text_of(scan: ReducedScan) -> str:
    columns = list(_columns(scan))
    fields = [*fields_of(scan), *_not_finite(columns)]
    header = [
        f"# XDI/1.0 {NAMESPACE}/{version('xas-bluesky')}",
        *(f"# Column.{number}: {label} {unit}".rstrip() for number, (label, unit, _) in enumerate(columns, 1)),
        *(f"# {name}: {value}" for name, value in fields if value),
        "# ///",
        "#----",
        f"# {' '.join(label for label, _, _ in columns)}",
    ]
    rows = zip(*(_finite(label, values).tolist() for label, _, values in columns), strict=True)
    return "".join(f"{line}\n" for line in [*header, *(" ".join(map(repr, row)) for row in rows)])


def _columns(scan: ReducedScan) -> Iterable[Column]:
    yield "energy", "eV", scan.spectrum.energy
    yield from _absorption_columns(scan.absorption, MU.get(scan.absorption.signal, MEASURED_MU), "flag")
    for name, values in scan.spectrum.channels.items():
        unit = "counts/s" if name.startswith(("icr", "ocr")) else UNITS.get(name, "")
        yield name.replace("fluorescence", "ifluor").replace("electron_yield", "iyield"), unit, values
    if scan.reference is not None:
        yield from _absorption_columns(scan.reference, "murefer", "murefer_flag")


def _absorption_columns(absorption: Absorption, label: str, flag: str) -> Iterable[Column]:
    flagged = np.zeros(len(absorption), dtype=bool)
    for points in absorption.flags.values():
        flagged |= points
    yield label, "", absorption.mu
    yield f"{label}_std", "", np.sqrt(absorption.variance)
    yield flag, "", np.where(flagged, np.where(absorption.usable, 2, 1), 0)


def _finite(label: str, values: NDArray[Any]) -> NDArray[Any]:
    finite = np.isfinite(values)
    if label == "energy" and finite.any():  # a reader would draw a point at 0 eV
        return np.where(finite, values, np.interp(np.arange(len(values)), np.flatnonzero(finite), values[finite]))
    return np.nan_to_num(values, nan=0.0, posinf=STAND_IN, neginf=-STAND_IN)


def _not_finite(columns: list[Column]) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = []
    for label, _, values in columns:
        for number, found in NOT_FINITE.items():
            fields += point_fields("not_finite", f"{label} {number}", found(values), 1 + len(fields))
    return fields
