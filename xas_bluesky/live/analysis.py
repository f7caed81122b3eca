"""The live analysis: documents in, reduced scans out."""

from collections.abc import Mapping
from typing import Any

from xas_bluesky.config import Settings
from xas_bluesky.documents import Collector
from xas_bluesky.errors import InputError
from xas_bluesky.reduction import reduce_scan
from xas_bluesky.spectra import ReducedScan


class Analysis:
    """Reduce what was received of each run, whenever asked.

    Many documents may be taken between two updates: an update costs the same, so the analysis never falls behind the
    scan by more than one.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.collector = Collector(settings)
        self._changed: dict[str, None] = {}
        self.ended: set[str] = set()

    def take(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take one document."""
        self.collector(name, doc)
        uid = self.collector.parts.run_of(name, doc)
        if uid is not None:
            self._changed[uid] = None
        if name == "stop":
            self.ended.add(doc["run_start"])

    def update(self) -> dict[str, ReducedScan | str]:
        """Reduce the runs that changed since the last update: uid -> scan, or why there is none."""
        changed, self._changed = self._changed, {}
        found: dict[str, ReducedScan | str] = {}
        for uid in changed:
            try:
                spectrum = self.collector.spectrum(uid)
                found[uid] = reduce_scan(spectrum, self.collector.settings(uid), self.collector.remarks(uid))
            except InputError as error:
                found[uid] = str(error)
        return found
