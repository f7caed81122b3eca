"""Measured spectra from XDI, csv and column files."""

import re
from pathlib import Path

import numpy as np

from xas_bluesky.errors import SpectrumError
from xas_bluesky.files.table import Table, read_table
from xas_bluesky.files.xdi_fields import NAMESPACE
from xas_bluesky.files.xdi_file import restore
from xas_bluesky.spectra import Array, Spectrum

MIN_POINTS = 10
"""A pre-edge line takes 3 points, a post-edge 5 and the rise between them 2."""
LOWEST, HIGHEST = 20.0, 200_000.0
"""X-ray energies, eV."""
HIGHEST_KEV = 200.0
"""Energies without a unit that stay below this may be keV."""
UNITS = {"ev": 1.0, "kev": 1000.0}
CHANNELS = {
    **dict.fromkeys(("i0", "io"), "i0"),
    **dict.fromkeys(("itrans", "it", "i1"), "itrans"),
    **dict.fromkeys(("irefer", "ir", "iref", "i2"), "irefer"),
    **dict.fromkeys(("ifluor", "if", "fluorescence", "fluor", "fluo", "ifl", "ff", "lytle", "pips"), "fluorescence"),
    **dict.fromkeys(("iyield", "iey", "iy", "electron_yield", "tey"), "electron_yield"),
    **dict.fromkeys(("dwell", "counttime", "count_time", "dwell_time", "integration_time", "measurement_time"), "dwell"),
    "energy_setpoint": "energy_setpoint",
}
"""What the columns are called by XDI, xraylarch, Athena and the beamlines whose files these read."""
MU = re.compile(r"x?mu|norm|lni0i[t1]$|ffi0$|absor|intensity$")
NOT_MU = re.compile(r"ref(er|erence)?$")
SET_NOT_READ = re.compile(r"set|request|edge|relative")
ELEMENTS = {"ifluor": "fluorescence", "fluorescence": "fluorescence", "icr": "icr", "ocr": "ocr"}
"""Columns of a detector of several elements: ifluor_1, ifluor_2, …"""
SIGNALS = ("itrans", "fluorescence", "electron_yield")


def read_spectrum(path: str | Path) -> Spectrum:
    """Read a measured spectrum from an XDI, csv or column file.

    Columns are named by XDI fields (`# Column.2: i0`) or by a header line (`energy_eV,mu_raw`, with or without #); two
    columns without names are energy and mu. Energies, eV or keV, increase; a scan measured downwards is turned round.
    The raw channels are taken where the file has them, else mu. Metadata: edge ("Cu K") and sample, where they are given.
    A file by `write_xdi` is read as it was measured, in time order. Raises SpectrumError, naming file and line. Source:
    XAFS Data Interchange (doi:10.1088/1742-6596/712/1/012148).
    """
    table = read_table(Path(path))
    if table.fields.get(f"{NAMESPACE}.order", "").startswith("time"):
        return _read_scan(table)
    energy = _read_energy(table)
    channels = _find_channels(table)
    if len(energy) < MIN_POINTS:
        raise SpectrumError(f"{path}: {len(energy)} points, at least {MIN_POINTS} are needed; measure more")
    order = _increasing(table, energy)
    return Spectrum(
        energy[order],
        {name: table.read(position)[order] for name, position in channels.items()},
        _metadata(table),
    )


def _read_scan(table: Table) -> Spectrum:
    """Read what `write_xdi` wrote: nothing is sorted, and what was found later is passed over."""
    announced = table.fields.get(f"{NAMESPACE}.points", "")
    if announced != str(len(table.cells)):
        raise SpectrumError(f"{table.path}: {len(table.cells)} rows, but the header says {announced}; get the file again")
    if table.find("energy") is None:
        raise SpectrumError(f"{table.path}: no column energy among {_names(table)}; get the file again")
    columns: dict[str, Array] = {}
    for position, column in enumerate(table.columns):
        channel = column.name if column.name in ("energy", "mu") else _channel(column.name)
        if channel is not None:
            columns[channel] = restore(table.fields, column.name, table.read(position))
    return Spectrum(columns.pop("energy"), columns, _metadata(table))


def _metadata(table: Table) -> dict[str, object]:
    absorber, level, sample = (table.fields.get(name) for name in ("element.symbol", "element.edge", "sample.name"))
    said = {"edge": f"{absorber} {level}" if absorber and level else None, "sample": sample}
    return {name: value for name, value in said.items() if value}


def _channel(label: str) -> str | None:
    """Name the channel that a column of readings holds; None for any other column."""
    name, _, number = label.rpartition("_")
    return f"{ELEMENTS[name]}_{number}" if name in ELEMENTS and number.isdecimal() else CHANNELS.get(label)


def _read_energy(table: Table) -> Array:
    named = (at for at, column in enumerate(table.columns) if "energy" in column.name and not SET_NOT_READ.search(column.name))
    position = next(named, None) if table.find("energy") is None else table.find("energy")
    if position is None and table.find("angle") is not None:
        raise SpectrumError(f"{table.path}: the mono's angle is given instead of the energy; add a column energy in eV")
    if position is None:
        raise SpectrumError(f"{table.path}: no column energy among {_names(table)}; name it in the header")
    energy, unit = table.read(position), table.columns[position].unit
    if not unit and energy.max() < HIGHEST_KEV:
        raise SpectrumError(
            f"{table.path}:{table.lines[0]}: the energies ({energy[0]:g} …) look like keV, but the column has no unit; "
            "add it, as in 'energy_keV' or '# Column.1: energy keV'"
        )
    if unit and unit not in UNITS:
        raise SpectrumError(f"{table.path}: the energies are in {unit!r}; give them in eV or keV")
    energy = energy * UNITS.get(unit, 1.0)
    if not LOWEST <= energy.min() <= energy.max() <= HIGHEST:
        raise SpectrumError(
            f"{table.path}:{table.lines[0]}: {energy.min():g} to {energy.max():g} eV are no X-ray energies; correct "
            "the unit, or give absolute energies"
        )
    return energy


def _find_channels(table: Table) -> dict[str, int]:
    found: dict[str, int] = {}
    for position, column in enumerate(table.columns):
        if channel := _channel(column.name):
            found.setdefault(channel, position)
        elif MU.match(column.name) and not NOT_MU.search(column.name):
            found.setdefault("mu", position)
    if "i0" in found and any(name.startswith(SIGNALS) for name in found):
        return {name: position for name, position in found.items() if name != "mu"}
    if "mu" in found:
        return {name: position for name, position in found.items() if name in {"mu", "dwell"}}
    raise SpectrumError(f"{table.path}: no absorption among the columns {_names(table)}; give i0 with itrans or ifluor, or mu")


def _increasing(table: Table, energy: Array) -> slice:
    """Give the order in which energies increase; raise SpectrumError when neither this way nor the other does it."""
    order = slice(None, None, -1) if energy[-1] < energy[0] else slice(None)
    steps = np.diff(energy) * (order.step or 1)
    if (steps > 0).all():
        return order
    row = int(np.argmax(steps <= 0)) + 1
    problem = "repeats that of" if steps[row - 1] == 0 else "turns back from"
    raise SpectrumError(
        f"{table.path}:{table.lines[row]}: the energy {energy[row]:g} eV {problem} line {table.lines[row - 1]} "
        f"({energy[row - 1]:g} eV); sort the file by energy and merge repeated points"
    )


def _names(table: Table) -> str:
    return ", ".join(column.name for column in table.columns if column.name) or "those without a name"
