"""One run: its streams, and the spectrum that they make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xas_bluesky.config import Fluorescence, Settings
from xas_bluesky.documents.channels import (
    SIGNALS,
    edge_of,
    find_channels,
    relevant_keys,
    settings_of,
    xas_metadata,
    xdi_metadata,
)
from xas_bluesky.documents.external import ExternalValues
from xas_bluesky.documents.joining import joined, named
from xas_bluesky.documents.readings import count_columns, to_columns, to_number
from xas_bluesky.documents.rows import Rows
from xas_bluesky.documents.units import to_energy
from xas_bluesky.errors import InputError, SpectrumError
from xas_bluesky.spectra import Array, Spectrum

Document = Mapping[str, Any]
COUNTED = ("i0", "itrans", "irefer", "fluorescence", "electron_yield")
FIRST, NEVER, DARK = "primary", "baseline", "dark"
"""The stream that is looked at first, the one that holds no points of a scan, and the one measured with the shutter closed."""


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
            row.extend(_columns_of(value, channel, width, settings.fluorescence))
        self.rows.append(row)


def _columns_of(value: Any, channel: str, width: int, fluorescence: Fluorescence) -> Sequence[float] | Array:
    try:
        columns = to_columns([value], channel, fluorescence)[0]
    except SpectrumError:
        columns = ()
    return columns if len(columns) == width else [float("nan")] * width  # another shape than was described


@dataclass(slots=True)
class Run:
    """Hold what was received of one run; `start` is empty while its start document was not.

    `early`: the documents that came before it; `remarks`: what cannot be used of the run; `problem`: why nothing can.
    """

    uid: str
    settings: Settings
    start: Document = field(default_factory=dict[str, Any])
    streams: dict[str, Stream] = field(default_factory=dict[str, Stream])
    external: ExternalValues | None = None
    early: list[tuple[str, Document]] = field(default_factory=list[tuple[str, Document]])
    remarks: dict[str, str] = field(default_factory=dict[str, str])
    problem: str = ""
    stop: Document = field(default_factory=dict[str, Any])
    _found: dict[str, tuple[str, str]] | None = None
    """the channels, once they were looked for among the streams there are"""

    @property
    def is_xas(self) -> bool:
        """Say whether its start document or its data keys make it an absorption scan."""
        return bool(xas_metadata(self.start) or xdi_metadata(self.start) or self._channels())

    @property
    def outstanding(self) -> int:
        """Count the points, of any stream, that its stop document announced and that were not received."""
        announced = {name: int(count) for name, count in (self.stop.get("num_events") or {}).items() if name != NEVER}
        received = {name: len(stream.rows) for name, stream in self.streams.items()}
        return sum(max(count - received.get(name, 0), 0) for name, count in announced.items())

    def begin(self, doc: Document) -> None:
        """Take the start document; what came before it was read by other settings, and is to come again."""
        self.start = doc
        self._found = None
        self.streams, self.remarks, self.problem = {}, {}, ""
        try:
            self.settings = settings_of(doc, self.settings)
        except InputError as error:
            self.problem = str(error)
        if self.external is not None:
            self.external.read_again()

    def describe(self, doc: Document) -> Stream | None:
        """Take a descriptor; return its stream, None if its points are of no use."""
        name, data_keys = doc["name"], dict(doc["data_keys"])
        if name == NEVER or self.problem:
            return None
        keys: dict[str, tuple[str, int]] = {}
        external: dict[str, str] = {}
        for key, channel in relevant_keys(self.start, data_keys, self.settings).items():
            about = data_keys[key]
            if about.get("external") is not None:
                external[key] = channel
                continue
            try:
                keys[key] = channel, count_columns(about.get("shape") or (), channel, self.settings.fluorescence)
            except SpectrumError as error:
                self.remarks[key] = f"{key} is left out: {error}"
                del data_keys[key]
        known = self.streams.get(name)
        changed = known is not None and (known.keys, known.external) != (keys, external)
        if known is None or (changed and not len(known.rows)):
            known = self.streams[name] = Stream(name, keys, external, data_keys)
            self._found = None
        elif changed:
            there, here = (", ".join([*stream[0], *stream[1]]) for stream in ((known.keys, known.external), (keys, external)))
            self.remarks[name] = (
                f"stream {name}: its channels changed during the run, from {there} to {here}; from there on it is left out"
            )
            return None
        return known

    def spectrum(self) -> Spectrum:
        """Return what was measured so far; raises SpectrumError where there is nothing, or nothing that fits together."""
        if self.problem:
            raise SpectrumError(self.problem)
        if not self.streams.keys() - {DARK}:
            raise SpectrumError("no points yet")
        channels = self._channels()
        if not channels:
            self._say_what_is_missing()
        tables = self._tables(channels)
        columns, seq_num = joined(tables, channels)
        if not len(seq_num) or not any(channel.startswith(SIGNALS) for channel in columns):
            why = "; ".join(self.external.problems.values()) if self.external else ""
            raise SpectrumError("no points yet" + (f": {why}" if why else ""))
        for channel in ("energy", "energy_setpoint"):
            if channel in columns:
                columns[channel] = self._to_energy(columns[channel], channels[channel], channels["energy"])
        energy = columns.pop("energy")
        found = named(columns)
        darks = {f"dark_{channel}": np.full(len(energy), rate) for channel, rate in self._darks().items() if channel in found}
        return Spectrum(energy[:, 0], {**found, **darks, **self._times(seq_num, channels)}, self._metadata(seq_num, channels))

    def _times(self, seq_num: Array, channels: Mapping[str, tuple[str, str]]) -> dict[str, Array]:
        """Return when the points ended (unix s), where the recovery of the beam is to be told by it."""
        if "ring_current" not in channels or self.settings.beam.least_current is None:
            return {}
        rows = self.streams[channels["i0"][0]].rows.read()
        return {"time": rows[np.searchsorted(rows[:, 0], seq_num).clip(max=len(rows) - 1), 1]} if len(rows) else {}

    def _darks(self) -> dict[str, float]:
        """Return the counts/s of each counter with the shutter closed, where the run measured them."""
        stream = self.streams.get(DARK)
        if stream is None or not len(stream.rows):
            return {}
        rows, at, columns = stream.rows.read(), 2, dict[str, Array]()
        for channel, width in stream.keys.values():
            columns[channel] = rows[:, at : at + width]
            at += width
        dwell = columns.pop("dwell", np.ones((len(rows), 1)))
        counted = {channel: found for channel, found in named(columns).items() if channel.startswith(COUNTED)}
        rates = {channel: float(found.sum() / dwell.sum()) for channel, found in counted.items()}
        return {channel: rate for channel, rate in rates.items() if np.isfinite(rate) and rate >= 0}

    def _say_what_is_missing(self) -> None:
        try:
            find_channels(self.start, self._data_keys(), self.settings)
        except SpectrumError as error:
            raise SpectrumError("; ".join([str(error), *self.remarks.values()])) from error

    def _channels(self) -> dict[str, tuple[str, str]]:
        """Map channel -> stream and data key: all of one stream where one has enough, else of several."""
        if self._found is None:
            self._found = self._find_channels()
        return self._found

    def _find_channels(self) -> dict[str, tuple[str, str]]:
        with_beam = (stream for stream in self.streams.values() if stream.name != DARK)
        streams = sorted(with_beam, key=lambda stream: stream.name != FIRST)
        for group in [*([stream] for stream in streams), streams]:
            where = {key: stream.name for stream in reversed(group) for key in stream.data_keys}
            data_keys = {key: self.streams[name].data_keys[key] for key, name in where.items()}
            try:
                found = find_channels(self.start, data_keys, self.settings)
            except SpectrumError:
                continue
            if group is not streams and not self._has_mode(found):
                continue
            return {channel: (where[key], key) for channel, key in found.items()}
        return {}

    def _has_mode(self, found: Mapping[str, str]) -> bool:
        """Say whether the channels hold the signal that is asked for: it may be in another stream than others."""
        counter = "itrans" if self.settings.mode == "transmission" else self.settings.mode
        return counter == "auto" or any(channel.startswith(counter) for channel in found)

    def _data_keys(self) -> dict[str, Any]:
        with_beam = (stream for stream in self.streams.values() if stream.name != DARK)
        return {key: about for stream in with_beam for key, about in stream.data_keys.items()}

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

    def _to_energy(self, values: Array, place: tuple[str, str], readback: tuple[str, str]) -> Array:
        units = next(
            (said for stream, key in (place, readback) if (said := self.streams[stream].data_keys[key].get("units"))), None
        )
        spacing = to_number(xdi_metadata(self.start).get("Mono.d_spacing", self.start.get("d_spacing")))
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
