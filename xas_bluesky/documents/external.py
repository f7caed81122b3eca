"""Values that a run keeps in files beside its documents: HDF5 and whatever else Tiled has consolidators for."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from event_model import unpack_event_page
from event_model.documents import EventPage

from xas_bluesky.config import Fluorescence
from xas_bluesky.documents.readings import to_columns
from xas_bluesky.errors import SpectrumError
from xas_bluesky.spectra import Array

Document = Mapping[str, Any]
KINDS = ("resource", "datum", "datum_page", "stream_resource", "stream_datum")
"""Documents that say where values lie."""


class ExternalValues:
    """Read what the documents of one run point to, each value once.

    `take` only notes a document: files are opened by `read`, which need not run on the RunEngine's thread. The older
    resource and datum documents are turned into the newer ones by the run normalizer that TiledWriter uses.
    """

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        self._noted: list[tuple[str, Document]] = []
        self.read_again()

    def take(self, name: str, doc: Document) -> None:
        """Note a document of the run."""
        self._noted.append((name, doc))

    def read_again(self) -> None:
        """Forget what was read: it was by other settings."""
        self._taken = 0
        self._normalizer: Any = None
        self._point = 0
        """sequence number of the event that is being converted; 0 when it is none"""
        self._descriptors: dict[str, Document] = {}
        self._resources: dict[str, Document] = {}
        self._datums: set[str] = set()
        self._events: list[Document] = []
        self._unread: list[Document] = []
        self._rows: dict[tuple[str, str], dict[int, Array]] = defaultdict(dict)

    def read(self, channels: Mapping[tuple[str, str], str], fluorescence: Fluorescence) -> dict[tuple[str, str], Array]:
        """Return rows (n, 1 + k) of sequence number and columns for each (stream, data key) of `channels`.

        What cannot be read yet is tried again the next time; `problems` says why, by data key.
        """
        self.problems = {}
        self._normalize()
        unread, self._unread = self._unread, []
        for datum in unread:
            resource, descriptor = self._resources.get(datum["stream_resource"]), self._descriptors.get(datum["descriptor"])
            if resource is None or descriptor is None:
                self._unread.append(datum)
                self.problems["files"] = "where some values lie was not received: the run was joined half way"
                continue
            key = resource["data_key"]
            place = (descriptor["name"], key)
            if place not in channels:
                continue
            try:
                self._rows[place].update(_read(resource, descriptor, datum, channels[place], fluorescence))
            except Exception as error:  # h5py, dask and the file system raise what they like
                self._unread.append(datum)
                self.problems[key] = f"{key} cannot be read from its file ({error})"
        return {place: _as_table(rows) for place, rows in self._rows.items() if rows}

    def _normalize(self) -> None:
        from bluesky_tiled_plugins.writing.tiled_writer import RunNormalizer  # 2 s: only where it is needed

        if self._normalizer is None:
            self._normalizer = RunNormalizer(patches={"datum": _with_row})
            self._normalizer.subscribe(self._keep)
        noted = self._noted[self._taken :]
        self._taken += len(noted)
        for name, doc in noted:
            if name == "event":
                self._events.append(doc)
            elif name == "event_page":
                self._events.extend(unpack_event_page(cast(EventPage, doc)))
            else:
                self._convert(name, doc)
                if name.startswith("datum"):
                    named = doc["datum_id"]
                    self._datums.update([named] if isinstance(named, str) else named)
        waiting, self._events = self._events, []
        for doc in waiting:  # last: an event may come before what it points to
            if self._points_to(doc) <= self._datums:
                self._point = doc["seq_num"]
                self._convert("event", doc)
                self._point = 0
            else:
                self._events.append(doc)

    def _points_to(self, event: Document) -> set[str]:
        data_keys = self._descriptors[event["descriptor"]]["data_keys"]
        outside = (key for key, about in data_keys.items() if "external" in about)
        return {event["data"][key] for key in outside if isinstance(event["data"].get(key), str)}

    def _convert(self, name: str, doc: Document) -> None:
        try:
            getattr(self._normalizer, name)(doc)
        except Exception as error:  # whatever it makes of a document that is not as it should be
            self.problems[name] = f"a {name} document cannot be used ({type(error).__name__}: {error})"

    def _keep(self, name: str, doc: Document) -> None:
        if name == "descriptor":
            self._descriptors[doc["uid"]] = doc
        elif name == "stream_resource":
            self._resources[doc["uid"]] = doc
        elif name == "stream_datum":
            of_event = {"seq_nums": {"start": self._point, "stop": self._point + 1}} if self._point else {}
            self._unread.append({**doc, **of_event})


def _with_row(datum: Any) -> Any:
    """Say which row of its own file a datum is: the normalizer would count on from the files before."""
    about = datum["datum_kwargs"]
    if "frame" in about and "point_number" not in about:
        row = about.pop("frame")
        about["indices"] = {"start": row, "stop": row + 1}
    return datum


def _read(resource: Any, descriptor: Any, datum: Document, channel: str, fluorescence: Fluorescence) -> dict[int, Array]:
    from bluesky_tiled_plugins.writing.consolidators import consolidator_factory

    first, stop = datum["indices"]["start"], datum["indices"]["stop"]
    consolidator: Any = consolidator_factory(resource, descriptor)
    # told of all rows up to the last: what came before may have been missed
    consolidator.consume_stream_datum(
        {**datum, "indices": {"start": 0, "stop": stop}, "seq_nums": {"start": 1, "stop": stop + 1}}
    )
    values = np.asarray(consolidator.init_adapter().read((slice(first, stop),)))
    if len(values) < stop - first:
        raise SpectrumError(f"it holds {first + len(values)} of {stop} announced")
    points = range(datum["seq_nums"]["start"], datum["seq_nums"]["stop"]) or range(first + 1, stop + 1)
    return dict(
        zip(points, to_columns(values.reshape(len(points), -1, *values.shape[1:]), channel, fluorescence), strict=True)
    )


def _as_table(rows: Mapping[int, Array]) -> Array:
    points = sorted(rows)
    return np.column_stack([np.array(points, dtype=np.float64), np.array([rows[point] for point in points])])
