"""Record the example runs of tests/documents/runs: `python tests/documents/record_runs.py`, by hand, when they are to change.

A RunEngine measures with small devices that have the data keys of BMM, haven and Diamond and replay a measured
spectrum. The README beside the runs says what is real about them; the ready mappings in xas_bluesky/data/beamlines say
where the names come from.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import event_model
import h5py
import numpy as np
from bluesky import RunEngine
from cycler import cycler
from ophyd import Signal
from ophyd.status import Status

from xas_bluesky.files.spectrum_file import read_spectrum

HERE = Path(__file__).parent
MEASURED = HERE.parent / "data" / "measured" / "Cu2S_13K_thinned.xdi"
SPECTRUM = read_spectrum(MEASURED)
RUNS = HERE / "runs"
E0 = 8979.0
SI111 = 3.1356
HC = 12398.41984
ELEMENTS = {"Cu1": 0.27, "Cu2": 0.24, "Cu3": 0.25, "Cu4": 0.24}
"""Share of each element of BMM's detector in the fluorescence."""
Documents = list[tuple[str, dict[str, Any]]]
Key = tuple[Callable[[], float], dict[str, Any]]
"""How a data key is read, and what describes it."""


def number(read: Callable[[], float], units: str | None = None, source: str = "SIM") -> Key:
    about = {"source": source, "dtype": "number", "shape": []}
    return read, about if units is None else {**about, "units": units}


def constant(value: float, units: str | None = None) -> Key:
    return number(lambda: value, units)


class Readable:
    """Read what its keys say."""

    parent = None

    def __init__(
        self, name: str, keys: Mapping[str, Key], hinted: tuple[str, ...] = (), settings: Mapping[str, Key] | None = None
    ) -> None:
        self.name = name
        self.hints = {"fields": list(hinted)}
        self._keys, self._settings = keys, settings or {}

    def describe(self) -> dict[str, Any]:
        return {key: about for key, (_, about) in self._keys.items()}

    def read(self) -> dict[str, Any]:
        return {key: {"value": read(), "timestamp": time.time()} for key, (read, _) in self._keys.items()}

    def describe_configuration(self) -> dict[str, Any]:
        return {key: about for key, (_, about) in self._settings.items()}

    def read_configuration(self) -> dict[str, Any]:
        return {key: {"value": read(), "timestamp": time.time()} for key, (read, _) in self._settings.items()}


class Movable(Readable):
    """Note where it is sent."""

    def __init__(
        self, name: str, keys: Callable[["Movable"], Mapping[str, Key]], hinted: tuple[str, ...], **rest: Any
    ) -> None:
        self.setpoint = 0.0
        super().__init__(name, keys(self), hinted, **rest)

    @property
    def position(self) -> float:
        return self.setpoint

    def set(self, value: float) -> Status:
        self.setpoint = float(value)
        done = Status()
        done.set_finished()
        return done


class Replay:
    """Hold the point of the measured spectrum that the monochromator is at."""

    def __init__(self) -> None:
        self.requested = np.round(SPECTRUM.energy + np.random.default_rng(5).normal(0.0, 0.05, len(SPECTRUM)), 2)

    def at(self, requested: float) -> int:
        return int(np.abs(self.requested - requested).argmin())

    def channel(self, name: str, mono: Movable, scale: float = 1.0) -> Callable[[], float]:
        return lambda: float(SPECTRUM.channels[name][self.at(mono.setpoint)]) * scale

    def energy(self, mono: Movable) -> float:
        return float(SPECTRUM.energy[self.at(mono.setpoint)])


def fluorescence(share: float) -> np.ndarray:
    """Compute counts of one element from the transmission spectrum."""
    mu = np.log(SPECTRUM.channels["i0"] / SPECTRUM.channels["itrans"])
    return np.round(share * 4.0 * SPECTRUM.channels["i0"] * (mu - mu.min() + 0.02))


class Xspress(Readable):
    """Count the line in each element, and announce the whole spectra of one in a file."""

    SPECTRA = "4-element SDD_channel01_xrf"

    def __init__(self, replay: Replay, mono: Movable) -> None:
        counts = {key: fluorescence(share) for key, share in ELEMENTS.items()}
        keys = {key: number(lambda c=values: float(c[replay.at(mono.setpoint)])) for key, values in counts.items()}
        super().__init__("4-element SDD", keys, tuple(keys))
        self._compose = event_model.compose_resource(
            spec="XSPRESS3", root="/nsls2/data/bmm", resource_path="assets/example.h5", resource_kwargs={}
        )
        self._assets: Documents = [("resource", dict(self._compose.resource_doc))]

    def describe(self) -> dict[str, Any]:
        about = {"source": "SIM", "dtype": "array", "shape": [1, 4096], "external": "FILESTORE:"}
        return {**super().describe(), self.SPECTRA: about}

    def read(self) -> dict[str, Any]:
        datum = dict(self._compose.compose_datum(datum_kwargs={"frame": 0, "channel": 1}))
        self._assets.append(("datum", datum))
        return {**super().read(), self.SPECTRA: {"value": datum["datum_id"], "timestamp": time.time()}}

    def collect_asset_docs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        assets, self._assets = self._assets, []
        yield from assets


def record(plan: Any) -> Documents:
    documents: Documents = []
    RunEngine({"beamline_id": "simulated"})(plan, lambda name, doc: documents.append((name, doc)))
    return documents


def bmm() -> Documents:
    replay = Replay()
    mono = Movable(
        "dcm_energy",
        lambda at: {
            "dcm_energy": number(lambda: replay.energy(at)),
            "dcm_energy_setpoint": number(lambda: at.setpoint),
        },
        ("dcm_energy",),
    )
    dwell = Movable(
        "inttime",
        lambda at: {
            "dwti_dwell_time": number(lambda: at.setpoint, "seconds"),
            "dwti_dwell_time_setpoint": number(lambda: at.setpoint, "seconds"),
        },
        ("dwti_dwell_time",),
    )
    chambers = [
        Readable(name, {key: number(replay.channel(channel, mono, 1e-3))}, (key,))
        for name, key, channel in (("Ic0", "I0", "i0"), ("Ic1", "It", "itrans"), ("Ic2", "Ir", "irefer"))
    ]
    about = {
        "_mode": ("fluorescence",),
        "_kind": "xafs",
        "_user": {"filename": "cu2s", "bounds": "-200 -20 30 872"},
        "Beamline": {"name": "BMM (06BM) -- Beamline for Materials Measurement (NIST)", "focusing": "not in use"},
        "Facility": {"name": "NSLS-II", "energy": "3 GeV", "current": "400.0"},
        "Element": {"symbol": "Cu", "edge": "K", "reference": "Cu foil", "reference_material": "Cu foil"},
        "Scan": {"edge_energy": E0, "experimenters": "nobody: simulated"},
        "Mono": {"name": "Si(111)", "d_spacing": f"{SI111:.7f}", "scan_type": "step", "direction": "forward"},
        "Detector": {"I0": "25 cm N2, NSLS2 IC", "It": "25 cm N2, NSLS2 IC", "deadtime_correction": "Xspress3"},
        "Sample": {"name": "Cu2S", "prep": "powder, mixed with B(OH)3"},
        "Column": {},
    }
    optics = Readable("dcm_roll", {"dcm_roll": constant(-5.46, "degrees"), "dcm_bragg": constant(12.7, "degrees")})
    stage = Readable("xafs_x", {"xafs_x": constant(21.4, "mm")})
    times = np.where(SPECTRUM.energy < E0 - 20, 0.5, 1.0)
    plan = bp.scan_nd(
        [*chambers, Xspress(replay, mono)],
        cycler(mono, replay.requested.tolist()) + cycler(dwell, times.tolist()),
        md={"plan_name": "scan_nd xafs fluorescence", "XDI": about, "BMM_kafka": {"hint": "xafs xs"}},
    )
    return record(bpp.baseline_wrapper(plan, [optics, stage]))


def haven_start(plan_name: str) -> dict[str, Any]:
    return {
        "plan_name": plan_name,
        "edge": "Cu_K",
        "E0": E0,
        "d_spacing": SI111,
        "sample_name": "Cu2S",
    }


def haven() -> Documents:
    replay = Replay()
    mono = Movable(
        "monochromator-energy",
        lambda at: {
            "monochromator-energy": number(lambda: replay.energy(at), "eV"),
            "monochromator-bragg": number(lambda: float(to_bragg(replay.energy(at))), "degrees"),
        },
        ("monochromator-energy",),
    )
    undulator = Movable(
        "undulator-energy",
        lambda at: {
            "undulator-energy": number(lambda: at.setpoint + 3.0, "eV"),
            "undulator-energy-dial_readback": number(lambda: (at.setpoint + 155.0) / 1000.0, "keV"),
        },
        ("undulator-energy",),
    )
    channels = {"I0": "i0", "It": "itrans", "Iref": "irefer"}
    chambers = [
        Readable(
            name,
            {
                f"{name}-count": number(replay.channel(channel, mono)),
                f"{name}-net_current": number(replay.channel(channel, mono, 1e-14), "A"),
                f"{name}-mcs-scaler-elapsed_time": constant(0.5),
            },
            (f"{name}-count",),
            {f"{name}-counts_per_volt_second": constant(1e7)},
        )
        for name, channel in channels.items()
    ]
    energies = replay.requested.tolist()
    documents = record(bp.list_scan(chambers, mono, energies, undulator, energies, md=haven_start("xafs_scan")))
    return paged(documents, 37)


def paged(documents: Documents, size: int) -> Documents:
    """Pack the events into pages, as writers and brokers do."""
    events = [doc for name, doc in documents if name == "event"]
    pages = [("event_page", event_model.pack_event_page(*events[at : at + size])) for at in range(0, len(events), size)]
    others = [(name, doc) for name, doc in documents if name != "event"]
    return [*others[:-1], *((name, dict(page)) for name, page in pages), others[-1]]


class Counter(Readable):
    """Count by itself while the monochromator moves; hand out all points at the end, in one page."""

    def __init__(self, columns: Mapping[str, np.ndarray], dwell: float) -> None:
        keys = {key: number(lambda: 0.0) for key in columns}
        super().__init__("counter", keys, tuple(keys)[1:], {"counter-scaler-clock_frequency": constant(5e7)})
        self._columns, self._dwell = columns, dwell
        self.begin = 0.0

    def kickoff(self) -> Status:
        self.begin = time.time()
        return finished()

    def complete(self) -> Status:
        return finished()

    def describe_collect(self) -> dict[str, Any]:
        return self.describe()

    def collect_pages(self) -> Iterator[dict[str, Any]]:
        length = len(next(iter(self._columns.values())))
        ends = [self.begin + self._dwell * (point + 1) for point in range(length)]
        data = {key: values.tolist() for key, values in self._columns.items()}
        yield {"data": data, "timestamps": dict.fromkeys(data, ends), "time": ends}


def finished() -> Status:
    done = Status()
    done.set_finished()
    return done


def haven_fly() -> Documents:
    """Fly over the edge; the readback is sampled four times in each exposure, evenly about the energy of the point."""
    near = np.flatnonzero((SPECTRUM.energy > E0 - 12) & (SPECTRUM.energy < E0 + 27))
    energy, dwell = SPECTRUM.energy[near], 0.1
    columns = {"counter-clock-count": np.full(len(near), 5e7 * dwell)}
    for key, channel in (("I0-count", "i0"), ("It-count", "itrans"), ("Iref-count", "irefer")):
        columns[key] = SPECTRUM.channels[channel][near]
    counter = Counter(columns, dwell)
    readback = Signal(name="monochromator-energy", value=float(energy[0]) - 1.0)

    @bpp.run_decorator(md={**haven_start("fly_scan"), "motors": ["monochromator-energy"], "detectors": ["counter"]})
    def plan() -> Any:
        yield from bps.declare_stream(counter, name="counter", collect=True)
        yield from bps.monitor(readback, name="monochromator-energy")
        yield from bps.kickoff(counter, wait=True)
        for point, (middle, width) in enumerate(zip(energy, np.gradient(energy), strict=True)):
            for part in (0.125, 0.375, 0.625, 0.875):
                readback.put(middle + (part - 0.5) * width, timestamp=counter.begin + dwell * (point + part))
        yield from bps.unmonitor(readback)
        yield from bps.complete(counter, wait=True)
        yield from bps.collect(counter, name="counter")

    return record(plan())


def to_bragg(energy: Any) -> Any:
    return np.degrees(np.arcsin(HC / (2 * SI111 * np.asarray(energy))))


class Panda(Readable):
    """Capture into one HDF5 file by itself, and announce what was written."""

    FILE = "diamond.h5"

    def __init__(self, columns: Mapping[str, np.ndarray], units: Mapping[str, str]) -> None:
        super().__init__("panda1", {})
        self._columns, self._units = columns, units
        self._written = self._announced = 0
        self._bundles: list[Any] = []

    def kickoff(self) -> Status:
        with h5py.File(RUNS / self.FILE, "w") as file:
            for key, values in self._columns.items():
                file.create_dataset(key, data=values, dtype="<f8", maxshape=(None,), chunks=(len(values),))
        return finished()

    def complete(self) -> Status:
        return finished()

    def written(self, points: int) -> None:
        self._written = points

    def describe_collect(self) -> dict[str, Any]:
        about = {"source": "SIM", "dtype": "number", "dtype_numpy": "<f8", "shape": [1], "external": "STREAM:"}
        return {key: {**about, **({"units": self._units[key]} if key in self._units else {})} for key in self._columns}

    def get_index(self) -> int:
        return self._written

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        if not self._bundles:
            for key, values in self._columns.items():
                bundle = event_model.compose_stream_resource(
                    mimetype="application/x-hdf5",
                    uri=f"file://localhost/{self.FILE}",
                    data_key=key,
                    parameters={"dataset": f"/{key}", "chunk_shape": [len(values)]},
                )
                self._bundles.append(bundle)
                yield "stream_resource", dict(bundle.stream_resource_doc)
        until = self._written if index is None else index
        if until > self._announced:
            for bundle in self._bundles:
                yield "stream_datum", dict(bundle.compose_stream_datum(indices={"start": self._announced, "stop": until}))
            self._announced = until


def diamond() -> Documents:
    columns = {
        "bragg": to_bragg(SPECTRUM.energy),
        "i0": SPECTRUM.channels["i0"],
        "it": SPECTRUM.channels["itrans"],
        "iref": SPECTRUM.channels["irefer"],
    }
    panda = Panda(columns, {"bragg": "deg"})
    dcm = Readable(
        "dcm",
        {
            "dcm-energy_in_keV": constant(8.76, "keV"),
            "dcm-bragg_in_degrees": constant(13.04, "deg"),
            "dcm-crystal_metadata_d_spacing_a": constant(SI111, "Angstrom"),
        },
    )
    about = {"Mono": {"name": "Si(111)", "d_spacing": SI111}, "Sample": {"name": "Cu2S"}}

    @bpp.baseline_decorator([dcm])
    @bpp.run_decorator(md={"plan_name": "seq_table_scan", "element": "Cu", "edge": "K", "XDI": about, "detectors": ["panda1"]})
    def plan() -> Any:
        yield from bps.declare_stream(panda, name="primary", collect=True)
        yield from bps.kickoff(panda, wait=True)
        for points in (40, 75, len(SPECTRUM)):
            panda.written(points)
            yield from bps.collect(panda, name="primary")
        yield from bps.complete(panda, wait=True)

    return record(plan())


def write(name: str, documents: Documents) -> None:
    path = RUNS / f"{name}.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for kind, doc in documents:
            file.write(json.dumps({"name": kind, "doc": event_model.sanitize_doc(doc)}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    for scan in (bmm, haven, haven_fly, diamond):
        write(scan.__name__, scan())
