"""The documents of a run, read again: from its writer's backup, or from what Tiled holds of it."""

import json
import logging
import math
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pandas import DataFrame
    from tiled.client.container import Container

Documents = Iterator[tuple[str, dict[str, Any]]]

MOST_VALUES = 2**16
"""Values a point may have in a file to be read through Tiled: whole spectra do, camera images do not."""

logger = logging.getLogger(__name__)


def backup_name(run_uid: str) -> str:
    """Name the file to which a run goes that Tiled did not take."""
    return f"{run_uid.split('-')[0]}.jsonl"


def read_backup(file: Path, run_uid: str) -> Documents:
    """Yield what a backup holds of a run so far; its last line may still be being written."""
    ours = False
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry["name"] == "start":
                ours = entry["doc"]["uid"] == run_uid  # a file's name is only the first part of it
            if ours:
                yield entry["name"], entry["doc"]


def read_whole(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the documents of the run in a file, whose first is its start; the last line may be cut off."""
    with file.open(encoding="utf-8") as lines:
        try:
            uid = json.loads(next(lines, ""))["doc"]["uid"]
        except (ValueError, KeyError):
            return []
    return list(read_backup(file, uid))


def read_run(run: "Container") -> Documents:
    """Yield what Tiled holds of a run so far: start, then for each stream its descriptors and an event a point, and stop.

    A data key that no server can read is left out of the events, and logged.
    """
    metadata = run.item["attributes"]["metadata"]
    start = deepcopy(metadata["start"])
    yield "start", start
    for stream in run.values():
        points = points_of(stream, start["uid"])
        if points is None:
            continue
        for descriptor in points.descriptors:
            yield "descriptor", descriptor
        _take_all(points, stream.base)
        yield from points.events(whole=False)
    if "stop" in metadata:
        yield "stop", deepcopy(metadata["stop"])


class Points:
    """Join what Tiled keeps apart of one stream, a table and an array for each large data key, into one event a point.

    `metadata` is that of the stream's node. Data keys whose values lie in files that the server reads are described as
    any other; those with more than MOST_VALUES a point stay external, without values. `complete`: sequence numbers of the
    points that were given with a value for each data key.
    """

    def __init__(self, metadata: Mapping[str, Any], stream: str, run_uid: str) -> None:
        from bluesky_tiled_plugins.exporters import build_descriptor_docs

        self.descriptors: list[dict[str, Any]] = build_descriptor_docs(deepcopy(dict(metadata)), stream, run_uid)
        self.complete: set[int] = set()
        self._data_keys: dict[str, Any] = self.descriptors[0]["data_keys"]
        for descriptor in self.descriptors:
            for about in descriptor["data_keys"].values():
                if _size(about) <= MOST_VALUES:
                    about.pop("external", None)
        self._due = {key for key, about in self._data_keys.items() if "external" not in about}
        self._there: set[str] = set()
        self._waiting: dict[int, dict[str, Any]] = {}
        self._fresh: set[int] = set()

    def take_table(self, table: "DataFrame") -> None:
        """Take rows of the stream's table; a part of it without sequence numbers is of no use."""
        if "seq_num" not in table:
            return
        columns: dict[str, list[Any]] = {name: _plain(table[name].tolist()) for name in table.columns}
        keys = [key for key in self._data_keys if key in columns]
        for row, (seq_num, time) in enumerate(zip(columns["seq_num"], columns["time"], strict=True)):
            point = self._point(seq_num)
            point["time"] = time
            point["data"].update({key: columns[key][row] for key in keys})
            said = {key: columns[f"ts_{key}"][row] for key in self._data_keys if f"ts_{key}" in columns}
            point["timestamps"].update(said)
        self._there.update(keys)

    def take_array(self, key: str, values: NDArray[Any], offset: int = 0) -> None:
        """Take values of a data key, the first of which is row `offset` of the whole; ignore what are no whole points."""
        if key not in self._due:
            return
        shape = self._data_keys[key].get("shape") or ()
        rows = int(shape[0] or 1) if shape and values.ndim == len(shape) else 1  # joined along the first axis
        if None not in shape and values.size != len(values) // rows * _size(self._data_keys[key]):
            return
        for first in range(0, len(values), rows):
            point = self._point((offset + first) // rows + 1)
            point["data"][key] = (values[first : first + rows] if rows > 1 else values[first]).tolist()
        self._there.add(key)

    def events(self, *, whole: bool = True) -> Documents:
        """Yield the points of which something came since they were last given.

        Unless `whole` is False, a point waits for a value of each data key that had values before.
        """
        for seq_num in sorted(self._fresh):
            point = self._waiting[seq_num]
            if whole and not self._there <= point["data"].keys():
                continue
            self._fresh.discard(seq_num)
            descriptor = self.descriptors[0]["uid"]
            data, timestamps = dict(point["data"]), point["timestamps"]
            yield (
                "event",
                {
                    "uid": f"{descriptor}/{seq_num}",
                    "descriptor": descriptor,
                    "seq_num": seq_num,
                    "time": point["time"],
                    "data": data,
                    "timestamps": {key: timestamps.get(key, point["time"]) for key in data},
                    "filled": {},
                },
            )
            if data.keys() >= self._due:
                del self._waiting[seq_num]
                self.complete.add(seq_num)

    def _point(self, seq_num: int) -> dict[str, Any]:
        self._fresh.add(seq_num)
        # the time of what came in a file is not known: NaN
        return self._waiting.setdefault(seq_num, {"time": math.nan, "data": {}, "timestamps": {}})


def points_of(stream: "Container", run_uid: str) -> Points | None:
    """Make the points of a stream, still empty; None, and logged, where it is none of events."""
    try:
        return Points(stream.item["attributes"]["metadata"], stream.item["id"], run_uid)
    except Exception:  # another program may write to a run as well; what its schema refuses is not said by type
        logger.exception("%s is no stream of events", "/".join(stream.path_parts))
        return None


def _take_all(points: Points, stream: "Container") -> None:
    import dask.config
    import pandas as pd

    nodes = dict(stream.items())
    tables = [nodes.pop(key) for key in list(nodes) if nodes[key].item["attributes"]["structure_family"] == "table"]
    with dask.config.set({"dataframe.convert-string": False}):  # else a list in a cell is read as text
        parts = [table.read() for table in tables]
    if parts:
        points.take_table(pd.concat(parts, axis="columns"))  # a table of very many columns is kept in parts
    for key, node in nodes.items():
        try:
            # with its end, as an array that is being extended is refused as a whole
            points.take_array(key, np.asarray(node[: node.shape[0]]))
        except (httpx.HTTPError, ValueError) as error:
            where = "/".join(node.path_parts)
            logger.warning("%s cannot be read (%s); check that its server may read the file", where, error)


def _size(about: Mapping[str, Any]) -> int:
    return math.prod(length or 1 for length in about.get("shape") or ())


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return [_plain(element) for element in value] if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType]
