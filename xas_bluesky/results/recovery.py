"""Runs that Tiled has not, or not whole, written again from their files, under the same uid."""

import fcntl
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx

from xas_bluesky.errors import CatalogError
from xas_bluesky.results.replay import read_run, read_whole

if TYPE_CHECKING:
    from tiled.client.container import Container

KILLED = "interrupted: the session was killed"
"""The reason in the stop document of a run that nobody ended."""

logger = logging.getLogger(__name__)
Named = tuple[str, dict[str, Any]]


def recover(runs: "Container", backup: Path, journal: Path) -> None:
    """Write into `runs` what lies in files: runs in `backup` that ended, and those in `journal` whose process was killed.

    A run that Tiled has in part is written anew, and its file removed only when Tiled has all of it: no file is lost while
    the server is away or refuses.
    """
    for file in _ended(journal):
        if _written(runs, file):
            (backup / file.name).unlink(missing_ok=True)  # the same run, up to where the server came back or the process ended
    for file in sorted(backup.glob("*.jsonl")):
        _written(runs, file)


def _ended(journal: Path) -> Iterator[Path]:
    """Yield the files whose process has ended: their lock is free."""
    for file in sorted(journal.glob("*.jsonl")):
        with file.open(encoding="utf-8") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            documents = read_whole(file)
            if documents and documents[-1][0] != "stop":
                _close(file, documents)
            yield file


def _close(file: Path, documents: list[Named]) -> None:
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


def _written(runs: "Container", file: Path) -> bool:
    """Write a run, and remove its file; say whether that was done."""
    from bluesky_tiled_plugins import TiledWriter

    try:
        documents = read_whole(file)
        if not documents:
            file.unlink()  # nothing was measured yet
            return True
        uid = documents[0][1]["uid"]
        if documents[-1][0] != "stop":
            return False  # it goes on
        if uid in runs:
            if _is_whole(runs, uid, documents):
                file.unlink()
                return True
            runs.delete_contents(uid, recursive=True, external_only=False)
        writer = TiledWriter(runs)
        for name, doc in documents:
            writer(name, doc)
        if not _is_whole(runs, uid, documents):
            raise CatalogError(f"run {uid}: Tiled does not have all of {file}; the file is kept")
    except (httpx.HTTPError, CatalogError, OSError, ValueError, KeyError) as error:
        logger.warning("%s waits to be written into Tiled (%s)", file, error)
        return False
    file.unlink()
    logger.warning("run %s was written into Tiled from %s", uid, file)
    return True


def _is_whole(runs: "Container", uid: str, documents: list[Named]) -> bool:
    """Say whether Tiled has the stop document of a run, and as many events of each stream as its documents."""
    run = runs[uid]
    return "stop" in run.metadata and _points(read_run(run)) == _points(iter(documents))


def _points(documents: Iterator[Named]) -> Mapping[str, int]:
    """Count the points of each stream, those in files left out."""
    stream: dict[str, str] = {}
    found: dict[str, set[int]] = {}
    for name, doc in documents:
        if name == "descriptor":
            stream[doc["uid"]] = doc["name"]
        elif name in ("event", "event_page"):
            numbers = doc["seq_num"] if name == "event_page" else [doc["seq_num"]]
            found.setdefault(stream[doc["descriptor"]], set()).update(numbers)
    return {key: len(numbers) for key, numbers in found.items()}
