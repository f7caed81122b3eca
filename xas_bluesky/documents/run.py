"""One run: its streams, and the spectrum that they make."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xas_bluesky.config import Settings
from xas_bluesky.documents.channels import edge_of, find_channels, relevant_keys, settings_of, xas_metadata, xdi_metadata
from xas_bluesky.documents.external import ExternalValues
from xas_bluesky.documents.readings import count_columns, to_columns, to_number
from xas_bluesky.documents.rows import Rows
from xas_bluesky.documents.units import to_energy
from xas_bluesky.errors import InputError, SpectrumError
from xas_bluesky.spectra import Array, Spectrum

Document = Mapping[str, Any]
FIRST, NEVER = "primary", "baseline"
"""The stream that is looked at first, and the one that holds no points of a scan."""


@dataclass(slots=True)
class Stream:
    """Hold the points of one stream: of each data key that may be a channel, its columns."""

    name: str
    keys: dict[str, tuple[str, int]]
    """data key in the events -> its channel, and its number of columns"""
    external: dict[str, str]
    """data key in files -> its channel"""
    data_keys: Mapping[str, Any]
    rows: Rows = field(init=False)

    def __post_init__(self) -> None:
        self.rows = Rows(2 + sum(width for _, width in self.keys.values()))

    def measured_at(self, timestamps: Mapping[str, float], time: float) -> float:
        """Say when the devices measured a point: `time`, that of its document, may be when it was collected."""
        return max((timestamps[key] for key in self.keys if key in timestamps), default=time)

    def take(self, seq_num: int, time: float, data: Mapping[str, Any], settings: Settings) -> None:
        """Take one point."""
        row: list[float] = [seq_num, time]
        for key, (channel, width) in self.keys.items():
            value = data.get(key)
            if width == 1 and not isinstance(value, list | tuple | np.ndarray):
                row.append(to_number(value))
                continue
            columns = to_columns([value], channel, settings.fluorescence)[0]
            row.extend(columns if len(columns) == width else [float("nan")] * width)
        self.rows.append(row)


@dataclass(slots=True)
class Run:
    """Hold what was received of one run; `start` is empty while its start document was not."""

    uid: str
    settings: Settings
    start: Document = field(default_factory=dict[str, Any])
    streams: dict[str, Stream] = field(default_factory=dict[str, Stream])
    external: ExternalValues | None = None
    problem: str = ""
    stop: Document = field(default_factory=dict[str, Any])
    _found: dict[str, tuple[str, str]] | None = None
    """the channels, once they were looked for among the streams there are"""

    @property
    def is_xas(self) -> bool:
        """Say whether its start document or its data keys make it an absorption scan."""
        return bool(xas_metadata(self.start) or xdi_metadata(self.start) or self._channels())

    def begin(self, doc: Document) -> None:
        """Take the start document; points that came before it, and were read by other settings, are to come again."""
        self.start = doc
        self._found = None
        try:
            settings = settings_of(doc, self.settings)
        except InputError as error:
            self.problem = str(error)
            return
        if settings != self.settings:
            self.settings = settings
            self.streams = {}

    def describe(self, doc: Document) -> Stream | None:
        """Take a descriptor; return its stream, None if its points are of no use."""
        name, data_keys = doc["name"], doc["data_keys"]
        if name == NEVER or self.problem:
            return None
        keys: dict[str, tuple[str, int]] = {}
        external: dict[str, str] = {}
        try:
            for key, channel in relevant_keys(self.start, data_keys, self.settings).items():
                if data_keys[key].get("external") is not None:
                    external[key] = channel
                else:
                    keys[key] = channel, count_columns(data_keys[key].get("shape") or (), channel, self.settings.fluorescence)
        except InputError as error:
            self.problem = f"stream {name}: {error}"
            return None
        known = self.streams.get(name)
        if known is None:
            known = self.streams[name] = Stream(name, keys, external, data_keys)
            self._found = None
        elif known.keys != keys and len(known.rows):
            self.problem = f"stream {name}: its channels changed during the run, from {list(known.keys)} to {list(keys)}"
            return None
        return known

    def spectrum(self) -> Spectrum:
        """Return what was measured so far; raises SpectrumError where there is nothing, or nothing that fits together."""
        if self.problem:
            raise SpectrumError(self.problem)
        if not self.streams:
            raise SpectrumError("no points yet")
        channels = self._channels()
        if not channels:
            find_channels(self.start, self._data_keys(), self.settings)  # says what is missing
        tables = self._tables(channels)
        columns, seq_num = _joined(tables, channels)
        if not len(seq_num):
            why = "; ".join(self.external.problems.values()) if self.external else ""
            raise SpectrumError("no points yet" + (f": {why}" if why else ""))
        for channel in ("energy", "energy_setpoint"):
            if channel in channels:
                columns[f"{channel}_1"] = self._to_energy(columns[f"{channel}_1"], channels[channel])
        return Spectrum(columns.pop("energy_1"), _named(columns), self._metadata(seq_num, channels))

    def _channels(self) -> dict[str, tuple[str, str]]:
        """Map channel -> stream and data key: all of one stream where one has enough, else of several."""
        if self._found is None:
            self._found = self._find_channels()
        return self._found

    def _find_channels(self) -> dict[str, tuple[str, str]]:
        streams = sorted(self.streams.values(), key=lambda stream: stream.name != FIRST)
        for group in [*([stream] for stream in streams), streams]:
            where = {key: stream.name for stream in reversed(group) for key in stream.data_keys}
            data_keys = {key: self.streams[name].data_keys[key] for key, name in where.items()}
            try:
                found = find_channels(self.start, data_keys, self.settings)
            except SpectrumError:
                continue
            return {channel: (where[key], key) for channel, key in found.items()}
        return {}

    def _data_keys(self) -> dict[str, Any]:
        return {key: about for stream in self.streams.values() for key, about in stream.data_keys.items()}

    def _tables(self, channels: Mapping[str, tuple[str, str]]) -> dict[tuple[str, str], Array]:
        """Read (stream, data key) -> rows (n, 2 + k): sequence number, time (NaN in files), columns."""
        places = {place: channel for channel, place in channels.items()}
        tables: dict[tuple[str, str], Array] = {}
        for name in {stream for stream, _ in places}:
            rows = self.streams[name].rows.read()
            at = 2
            for key, (_, width) in self.streams[name].keys.items():
                if (name, key) in places and len(rows):
                    tables[name, key] = np.column_stack([rows[:, :2], rows[:, at : at + width]])
                at += width
        outside = {place: channel for place, channel in places.items() if place[1] in self.streams[place[0]].external}
        if outside and self.external is not None:
            for place, rows in self.external.read(outside, self.settings.fluorescence).items():
                tables[place] = np.insert(rows, 1, np.nan, axis=1)
        return tables

    def _to_energy(self, values: Array, place: tuple[str, str]) -> Array:
        stream, key = place
        spacing = to_number(xdi_metadata(self.start).get("Mono.d_spacing", self.start.get("d_spacing")))
        units = self.streams[stream].data_keys[key].get("units")
        return to_energy(values, self.settings.energy, units, spacing if spacing > 0 else None)

    def _metadata(self, seq_num: Array, channels: Mapping[str, tuple[str, str]]) -> dict[str, object]:
        announced = (self.stop.get("num_events") or {}).get(channels["i0"][0])
        last = int(seq_num.max()) if announced is None else int(announced)
        xdi = xdi_metadata(self.start)
        said = {
            "uid": self.uid,
            "edge": edge_of(self.start),
            "sample": self.start.get("sample_name") or xdi.get("Sample.name"),
            "exit_status": self.stop.get("exit_status"),
            "missing": max(last - len(seq_num), 0) or None,
            "start_time": self.start.get("time"),
            "stop_time": self.stop.get("time"),
            "xdi": xdi or None,
        }
        return {name: value for name, value in said.items() if value is not None}


def _joined(
    tables: Mapping[tuple[str, str], Array], channels: Mapping[str, tuple[str, str]]
) -> tuple[dict[str, Array], Array]:
    """Bring the channels onto the points of i0: columns by channel and element, and their sequence numbers."""
    if channels["i0"] not in tables or channels["energy"] not in tables:
        return {}, np.empty(0)
    points = tables[channels["i0"]]
    exposure = tables[channels["dwell"]][:, 2] if channels.get("dwell") in tables else None
    columns: dict[str, Array] = {}
    whole = np.ones(len(points), dtype=bool)
    for channel, place in channels.items():
        if place not in tables:
            continue
        table = tables[place]
        timed = bool(np.isfinite(table[:, 1]).all() and np.isfinite(points[:, 1]).all())
        by_time = timed and place[0] != channels["i0"][0] and len(table) != len(points)
        found = _at_times(table, points, exposure) if by_time else _at_points(table, points[:, 0])
        whole &= ~np.isnan(found).all(axis=1) if by_time else np.isin(points[:, 0], table[:, 0])
        columns.update({f"{channel}_{number}": column for number, column in enumerate(found.T, 1)})
    return {name: column[whole] for name, column in columns.items()}, points[whole, 0]


def _at_points(table: Array, seq_num: Array) -> Array:
    """Pick the rows of `table` by sequence number; NaN where it has none."""
    at = np.searchsorted(table[:, 0], seq_num).clip(max=len(table) - 1)
    return np.where((table[at, 0] == seq_num)[:, None], table[at, 2:], np.nan)


def _at_times(table: Array, points: Array, exposure: Array | None) -> Array:
    """Average what another stream recorded while each point was exposed; between its records, interpolate.

    A point's time is that of its end. NaN beyond the first and the last record.
    """
    time = points[:, 1]
    if exposure is None or len(exposure) != len(time):
        exposure = np.diff(time)
        exposure = np.concatenate([exposure[:1], exposure]) if len(exposure) else np.zeros(len(time))
    begin = time - exposure
    order = np.argsort(table[:, 1], kind="stable")
    recorded, values = table[order, 1], table[order, 2:]
    first, last = np.searchsorted(recorded, begin, side="right"), np.searchsorted(recorded, time, side="right")
    sums = np.vstack([np.zeros(values.shape[1]), np.cumsum(values, axis=0)])
    within = (sums[last] - sums[first]) / np.maximum(last - first, 1)[:, None]
    middle = (begin + time) / 2
    between = np.column_stack([np.interp(middle, recorded, column, left=np.nan, right=np.nan) for column in values.T])
    return np.where((last > first)[:, None], within, between)


def _named(columns: Mapping[str, Array]) -> dict[str, Array]:
    """Name a channel of one column by the channel alone."""
    first = {name.removesuffix("_1") for name in columns if name.endswith("_1")}
    alone = {channel for channel in first if f"{channel}_2" not in columns}
    named: dict[str, Array] = {}
    for name, column in columns.items():
        channel = name.removesuffix("_1")
        named[channel if name.endswith("_1") and channel in alone else name] = column
    return named
