"""The writer of raw runs: every document into Tiled, off the RunEngine's thread, or else into a file."""

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from event_model import sanitize_doc

from xas_bluesky.errors import CatalogError

if TYPE_CHECKING:
    from tiled.client.container import Container

logger = logging.getLogger(__name__)


class RunWriter:
    """Write raw runs into `runs`, a Tiled container, document by document, on a thread of its own.

    Subscribe it to the RunEngine: a call only queues the document. The queue has no limit, so a scan never waits and
    nothing is dropped; it stays short, as a run that Tiled fails to take goes to a file of `backup` instead, all of it
    from its start: one JSON object {"name", "doc"} a line.
    """

    def __init__(self, runs: "Container", backup: Path) -> None:
        from bluesky_tiled_plugins import TiledWriter

        self.backup = backup
        self._write = TiledWriter(runs, batch_size=1, backup_directory=str(backup))
        self._queue: SimpleQueue[tuple[str, Mapping[str, Any]] | None] = SimpleQueue()
        self._uids: list[str] = []
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="xas-run-writer")
        self._thread.start()

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take one document of a run."""
        if self._closed:
            raise CatalogError("run writer: its catalog is closed; open the catalog again and subscribe a new writer")
        if name == "start":
            self._uids.append(doc["uid"])
        self._queue.put((name, doc))

    @property
    def unwritten(self) -> list[Path]:
        """List the files of runs that Tiled did not take whole."""
        files = (self.backup / f"{uid.split('-')[0]}.jsonl" for uid in self._uids)
        return [file for file in files if file.exists()]

    def close(self) -> None:
        """Wait until every document is written, and end the thread."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        for file in self.unwritten:
            logger.warning("Tiled did not take a run whole; its documents are in %s", file)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            name, doc = item
            try:
                self._write(name, sanitize_doc(dict(doc)))  # the backup is JSON and knows no numpy types
            except Exception:
                logger.exception("a %s document could not be written", name)
