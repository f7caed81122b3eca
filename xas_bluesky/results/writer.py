"""The writer of raw runs: every document into Tiled, off the RunEngine's thread, or else into a file."""

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import httpx
from event_model import sanitize_doc

from xas_bluesky.errors import CatalogError
from xas_bluesky.results.journal import Journal
from xas_bluesky.results.recovery import recover
from xas_bluesky.results.replay import backup_name, read_whole

if TYPE_CHECKING:
    from tiled.client.container import Container

logger = logging.getLogger(__name__)

Queue = SimpleQueue[tuple[str, Mapping[str, Any]] | None]


class RunWriter:
    """Write raw runs into `runs`, a Tiled container, document by document, on threads of its own.

    Subscribe it to the RunEngine: a call only queues the document. The queue has no limit, so a scan never waits and nothing
    is dropped. First each document goes to a file of `journal`, which is removed when the run has ended and Tiled or the
    backup has it: a process that is killed leaves it. Then to Tiled; a run that Tiled fails to take goes to a file of
    `backup`, all of it from its start: one JSON object {"name", "doc"} a line. Such runs are written again when the next one
    ends, and at the end.
    """

    def __init__(self, runs: "Container", backup: Path, journal: Path) -> None:
        from bluesky_tiled_plugins import TiledWriter

        self.backup = backup
        self._runs, self._folder = runs, journal
        self._write = TiledWriter(runs, batch_size=1, backup_directory=str(backup))
        self._journal = Journal(journal)
        self._uids: list[str] = []
        self._closed = False
        self._received, self._noted = Queue(), Queue()
        self._threads = [
            threading.Thread(target=work, args=(queue,), name=name)
            for work, queue, name in (
                (self._note, self._received, "xas-run-journal"),
                (self._send, self._noted, "xas-run-writer"),
            )
        ]
        for thread in self._threads:
            thread.start()

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take one document of a run."""
        if self._closed:
            raise CatalogError("run writer: its catalog is closed; open the catalog again and subscribe a new writer")
        if name == "start":
            self._uids.append(doc["uid"])
        self._received.put((name, doc))

    @property
    def unwritten(self) -> list[Path]:
        """List the files of runs that Tiled did not take whole."""
        files = (self.backup / backup_name(uid) for uid in self._uids)
        return [file for file in files if file.exists()]

    def close(self) -> None:
        """Wait until every document is written, and end the threads."""
        if self._closed:
            return
        self._closed = True
        self._received.put(None)
        for thread in self._threads:
            thread.join()
        self._journal.close()
        if self.unwritten or any(self._folder.glob("*.jsonl")):
            recover(self._runs, self.backup, self._folder)
        for file in self.unwritten:
            logger.warning("Tiled did not take a run whole; its documents are in %s, until the catalog is opened again", file)

    def _note(self, received: Queue) -> None:
        while (item := received.get()) is not None:
            try:
                name, doc = item[0], sanitize_doc(dict(item[1]))  # files are JSON, and know no numpy types
            except (TypeError, ValueError):
                logger.exception("a %s document could not be written, as it is no JSON", item[0])
                continue
            try:
                self._journal.write(name, doc)
            except OSError:
                logger.exception("a %s document could not be written to %s", name, self._folder)
            self._noted.put((name, doc))
        self._noted.put(None)

    def _send(self, noted: Queue) -> None:
        while (item := noted.get()) is not None:
            name, doc = item
            if name == "start":
                self._write.backup_directory = self._usable_backup()
            try:
                self._write(name, doc)
            except Exception:
                logger.exception("a %s document could not be written", name)
                continue  # the journal keeps the run
            if name == "stop":
                if self._is_kept(doc["run_start"]):
                    self._journal.end(doc["run_start"])
                else:
                    logger.error("run %s is kept in %s only, until the catalog is closed", doc["run_start"], self._folder)
                if self.unwritten:
                    recover(self._runs, self.backup, self._folder)

    def _usable_backup(self) -> str | None:
        """Make the folder of backups; None, and logged, where that fails: then Tiled is to have the run all the same."""
        try:
            self.backup.mkdir(parents=True, exist_ok=True)
        except OSError:
            logger.exception("runs that Tiled does not take have no backup; the journal in %s keeps them", self._folder)
            return None
        return str(self.backup)

    def _is_kept(self, run_uid: str) -> bool:
        """Say whether the backup or Tiled has a run up to its stop document."""
        try:
            file = self.backup / backup_name(run_uid)
            documents = read_whole(file) if file.exists() else []
            return bool(documents and documents[-1][0] == "stop") or "stop" in self._runs[run_uid].metadata
        except (OSError, httpx.HTTPError, KeyError):
            return False
