"""The journal: each document of a run in a file before Tiled has it, so that a killed process loses none."""

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from xas_bluesky.results.replay import backup_name


class Journal:
    """Write the documents of runs into `folder`, a file a run, one JSON object {"name", "doc"} a line, until they `end`.

    The file is locked as long as this process lives.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, TextIO] = {}
        self._owner: dict[str, str] = {}
        """descriptors and resources -> run"""

    def write(self, name: str, doc: Mapping[str, Any]) -> None:
        """Write one document, which is JSON; what belongs to no run that was begun here is left out."""
        uid = self._run_of(name, doc)
        if name == "start":
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / backup_name(uid)
            unfinished = path.with_suffix(".new")
            file = unfinished.open("w", encoding="utf-8")
            fcntl.flock(file, fcntl.LOCK_EX)
            unfinished.replace(path)  # locked before another process can see it, and take it for one that was left
            self._files[uid] = file
        if uid in self._files:
            self._files[uid].write(json.dumps({"name": name, "doc": doc}) + "\n")
            self._files[uid].flush()  # to the system, which keeps it when this process is killed

    def end(self, run_uid: str) -> None:
        """Remove the file of a run that is kept elsewhere now."""
        file = self._files.pop(run_uid, None)
        if file is not None:
            (self._folder / backup_name(run_uid)).unlink(missing_ok=True)
            file.close()
        for key in [key for key, uid in self._owner.items() if uid == run_uid]:
            del self._owner[key]

    def close(self) -> None:
        """Let go of the files of runs that have not ended."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _run_of(self, name: str, doc: Mapping[str, Any]) -> str:
        if name == "start":
            return doc["uid"]
        uid = doc.get("run_start") or self._owner.get(doc.get("descriptor") or doc.get("resource") or "", "")
        if name in ("descriptor", "resource"):
            self._owner[doc["uid"]] = uid
        return uid
