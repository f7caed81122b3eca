"""Runs that Tiled has not, or not whole, written again from their files, under the same uid."""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx

from xas_bluesky.errors import CatalogError
from xas_bluesky.results.locks import locked
from xas_bluesky.results.replay import read_run, read_whole

if TYPE_CHECKING:
    from tiled.client.container import Container

LOCK = "recovery.lock"
KILLED = "interrupted: the session was killed"
"""The reason in the stop document of a run that nobody ended."""

logger = logging.getLogger(__name__)
Named = tuple[str, dict[str, Any]]


def recover(runs: "Container", backup: Path, journal: Path) -> None:
    """Write into `runs` what lies in files: runs in `backup` that ended, and those in `journal` whose process was killed.

    A run that Tiled has in part is written anew, and a file removed only when Tiled has all of it; nothing is removed while
    the server is away or refuses, or has points that the file has not. While another thread or process does this, nothing
    is done: two that delete and write one run could lose it.
    """
    try:
        with locked(backup.parent / LOCK) as alone:
            if alone:
                for file in _ended(journal):
                    _write_again(runs, file, ended=True)
                for file in sorted(backup.glob("*.jsonl")):
                    _write_again(runs, file, ended=False)
    except (httpx.TransportError, OSError) as error:
        logger.warning("runs in %s and %s wait for the server (%s)", backup, journal, error)


def _ended(journal: Path) -> Iterator[Path]:
    """Yield the files whose process has ended, each locked meanwhile."""
    for file in sorted(journal.glob("*.jsonl")):
        with locked(file) as ended:
            if ended:
                yield file


def _documents(file: Path) -> list[Named]:
    """Read the run in a file; an empty file is removed, one that holds something else is refused with CatalogError."""
    documents = read_whole(file)
    if not documents:
        if file.stat().st_size:
            raise CatalogError("no run can be read from it; look at it, and move it elsewhere")
        file.unlink()
    return documents


def _closed(file: Path, documents: list[Named]) -> list[Named]:
    """Add the stop document that a killed process could not write."""
    events = Counter[str]()
    stream = {doc["uid"]: doc["name"] for name, doc in documents if name == "descriptor"}
    for name, doc in documents:
        if name in ("event", "event_page"):
            events[stream[doc["descriptor"]]] += len(doc["seq_num"]) if name == "event_page" else 1
    last = max((float(doc["time"]) for name, doc in documents if name in ("start", "descriptor", "event")), default=0.0)
    stop = {"uid": str(uuid4()), "run_start": documents[0][1]["uid"], "time": last, "exit_status": "abort", "reason": KILLED}
    whole = [*documents, ("stop", {**stop, "num_events": dict(events)})]
    unfinished = file.with_suffix(".new")
    unfinished.write_text("".join(json.dumps({"name": name, "doc": doc}) + "\n" for name, doc in whole), encoding="utf-8")
    unfinished.replace(file)
    return whole


def _write_again(runs: "Container", file: Path, *, ended: bool) -> None:
    """Write a run, and remove its file; where that fails, log why and keep it.

    `ended`: its process has; otherwise a run without a stop document goes on, and is left alone.
    """
    from bluesky_tiled_plugins import TiledWriter

    try:
        documents = _documents(file)
        if not documents:
            return
        uid = documents[0][1]["uid"]
        if _is_whole(runs, uid, documents):
            file.unlink()
            return
        if documents[-1][0] != "stop":
            if not ended:
                return
            documents = _closed(file, documents)
        if uid in runs:
            if not _points(read_run(runs[uid])) <= _points(documents):
                raise CatalogError(f"run {uid}: Tiled has points that are not in the file; both are left as they are")
            runs.delete_contents(uid, recursive=True, external_only=False)
        writer = TiledWriter(runs)
        for name, doc in documents:
            writer(name, doc)
        if not _is_whole(runs, uid, documents):
            raise CatalogError(f"run {uid}: Tiled does not have all of it")
    except httpx.TransportError:
        raise  # the other files have to wait too
    except Exception as error:  # Tiled's writer raises what it likes, and one run is not to keep a catalog shut
        logger.warning("%s waits to be written into Tiled (%s)", file, error)
        return
    file.unlink()
    logger.warning("run %s was written into Tiled from %s", uid, file)


def _is_whole(runs: "Container", uid: str, documents: list[Named]) -> bool:
    """Say whether Tiled has the stop document of a run, and all points that the documents themselves hold."""
    if uid not in runs or "stop" not in runs[uid].metadata:
        return False
    return _points(documents, in_files=False) <= _points(read_run(runs[uid]))


def _points(documents: Iterable[Named], *, in_files: bool = True) -> set[tuple[str, int]]:
    """Return the points, each as stream and sequence number; `in_files`: also those whose values all lie in files."""
    stream: dict[str, str] = {}
    empty: set[str] = set()
    """descriptors of events without values"""
    found: set[tuple[str, int]] = set()
    for name, doc in documents:
        if name == "descriptor":
            stream[doc["uid"]] = doc["name"]
            if all("external" in about for about in doc["data_keys"].values()):
                empty.add(doc["uid"])
        elif name in ("event", "event_page") and (in_files or doc["descriptor"] not in empty):
            numbers = doc["seq_num"] if name == "event_page" else [doc["seq_num"]]
            found.update((stream[doc["descriptor"]], number) for number in numbers)
        elif name == "stream_datum" and in_files:
            rows = range(doc["indices"]["start"], doc["indices"]["stop"])
            found.update((stream[doc["descriptor"]], row + 1) for row in rows)
    return found
