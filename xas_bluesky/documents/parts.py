"""Which run a document belongs to."""

from collections.abc import Mapping
from typing import Any


class RunsByPart:
    """Tell the run of any document, from those that came before it."""

    def __init__(self) -> None:
        self._runs: dict[str, str] = {}
        self._latest: str | None = None

    def run_of(self, name: str, doc: Mapping[str, Any]) -> str | None:
        """Return the uid of the document's run; None for a part of a whole that was never named."""
        if name == "start":
            self._latest = doc["uid"]
            return self._latest
        if name in ("descriptor", "resource", "stream_resource"):
            # a resource of the older kind need not name its run: it is of the one that began last
            run = self._runs[doc["uid"]] = doc.get("run_start") or self._latest or ""
            return run or None
        if name == "stop":
            return doc["run_start"]
        return self._runs.get(doc.get("descriptor") or doc.get("resource") or "")
