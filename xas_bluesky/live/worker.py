"""The analysis worker: a process that reads documents from its standard input and writes what it makes of them.

Messages in: first the settings, then [name, document]. Messages out: a mapping of `handled`, the documents taken so far,
`strangers`, the descriptors that are missing, and `runs`: uid -> `ended`, `missing`, and the whole `scan`, at most
every fifth of a second and when the run has ended.
"""

import os
import select
import sys
import time
from typing import Any

from xas_bluesky.config import Settings
from xas_bluesky.live.analysis import Analysis
from xas_bluesky.live.messages import pack, pack_scan, unpacker
from xas_bluesky.spectra import ReducedScan

EVERY = 0.2
"""Seconds between two whole scans of one run: a plot needs no more."""
CHUNK = 2**16
NICE = 5
"""The scan goes first where processors are few."""


class Worker:
    """Hold the analysis and what it still has to say."""

    def __init__(self, settings: Settings) -> None:
        self.analysis = Analysis(settings)
        self.handled = 0
        self._said: dict[str, float] = {}
        self._held: dict[str, ReducedScan] = {}

    def take(self, name: str, doc: dict[str, Any]) -> None:
        """Take one document; one that cannot be used is counted all the same, and said on the standard error."""
        self.handled += 1
        try:
            self.analysis.take(name, doc)
        except Exception as error:  # a document of a shape nobody foresaw must not take the others along
            print(f"xas-bluesky: a {name} document cannot be used: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201

    def report(self) -> dict[str, Any]:
        """Say what is new."""
        runs: dict[str, dict[str, Any]] = {}
        for uid, scan in self.analysis.update().items():
            if isinstance(scan, str):
                missing = self.analysis.collector.outstanding(uid)
                runs[uid] = {"ended": uid in self.analysis.ended, "missing": missing}
                continue
            runs[uid] = self._about(scan)
            self._held[uid] = scan
            if runs[uid]["ended"] or time.monotonic() - self._said.get(uid, 0.0) > EVERY:
                runs[uid]["scan"] = self._whole(uid)
        return self._message(runs)

    def overdue(self) -> dict[str, Any]:
        """Say the whole scans that were held back."""
        return self._message({uid: {**self._about(scan), "scan": self._whole(uid)} for uid, scan in list(self._held.items())})

    @property
    def owes(self) -> bool:
        """Say whether a whole scan was held back."""
        return bool(self._held)

    def _message(self, runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
        return {"handled": self.handled, "strangers": sorted(self.analysis.collector.strangers), "runs": runs}

    def _about(self, scan: ReducedScan) -> dict[str, Any]:
        said = scan.spectrum.metadata
        return {"ended": "exit_status" in said, "missing": said.get("missing", 0)}

    def _whole(self, uid: str) -> bytes:
        self._said[uid] = time.monotonic()
        return pack_scan(self._held.pop(uid))


def main() -> None:
    """Work until the standard input ends."""
    os.nice(NICE)
    source, sink = sys.stdin.fileno(), sys.stdout.fileno()
    messages, worker = unpacker(), None
    while True:
        if worker is not None and worker.owes and not select.select([source], [], [], EVERY)[0]:
            _write(sink, pack(worker.overdue()))
            continue
        chunk = os.read(source, CHUNK)
        if not chunk:
            return
        messages.feed(chunk)
        for message in messages:
            if worker is None:
                worker = Worker(Settings.read(message, "the settings of the analysis"))
            else:
                worker.take(*message)
        if worker is not None:
            _write(sink, pack(worker.report()))


def _write(sink: int, packed: bytes) -> None:
    left = memoryview(packed)
    try:
        while left:
            left = left[os.write(sink, left) :]
    except BrokenPipeError:
        sys.exit()  # who asked has ended


if __name__ == "__main__":
    main()
