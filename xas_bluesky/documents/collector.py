"""Collect the documents of a run into a Spectrum, while it is measured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xas_bluesky.config import Channels
from xas_bluesky.documents.channels import find_channels, xas_metadata
from xas_bluesky.errors import InputError, SpectrumError
from xas_bluesky.spectra import Spectrum

KEEP = 8
"""Runs held: the finished ones go first, oldest first."""

Document = Mapping[str, Any]


@dataclass(slots=True)
class _Run:
    start: Document
    channels: dict[str, str] = field(default_factory=dict[str, str])
    """channel -> data key, once the stream is described"""
    rows: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    """one tuple per point, in the order of `channels`: an append is one step, also for a reader on another thread"""
    problem: str = ""
    exit_status: str = ""

    @property
    def is_xas(self) -> bool:
        return bool(self.channels or xas_metadata(self.start))


class Collector:
    """Turn the documents of runs into spectra: `RE.subscribe(collector)`, then `collector.spectrum()`.

    Only the stream primary counts. Documents go to their own run, so runs may be nested. The work per event is
    constant, and nothing is raised into the RunEngine: a run without `channels` is reported by `spectrum`, a run that
    never was an absorption scan (neither its start document nor its data keys say so) is forgotten when it stops. The
    last few runs are held.
    """

    def __init__(self, channels: Channels | None = None) -> None:
        self._channels = channels or Channels()
        self._runs: dict[str, _Run] = {}
        self._streams: dict[str, _Run] = {}
        self._handlers: dict[str, Callable[[Document], None]] = {
            "start": self._start,
            "descriptor": self._descriptor,
            "event": self._event,
            "event_page": self._event_page,
            "stop": self._stop,
        }

    def __call__(self, name: str, doc: Document) -> None:
        """Take one document."""
        handler = self._handlers.get(name)
        if handler is not None:
            handler(doc)

    def spectrum(self, run_uid: str | None = None) -> Spectrum:
        """Return what a run has measured so far, the latest absorption scan by default.

        Metadata: uid, edge, sample, and exit_status once it has stopped. Raises SpectrumError when the run is not held,
        lacks channels, or has no points yet.
        """
        uid, run = self._find(run_uid)
        if run.problem:
            raise SpectrumError(f"run {uid}: {run.problem}")
        rows = tuple(run.rows)
        if not rows:
            raise SpectrumError(f"run {uid}: no points in its stream primary yet")
        try:
            columns = np.array(rows, dtype=np.float64).T
        except (TypeError, ValueError) as error:
            raise SpectrumError(f"run {uid}: a channel holds something that is not a number: {error}") from error
        channels = dict(zip(run.channels, columns, strict=True))
        said = {
            "uid": uid,
            "edge": xas_metadata(run.start).get("edge"),
            "sample": run.start.get("sample_name"),
            "exit_status": run.exit_status or None,
        }
        metadata = {name: value for name, value in said.items() if value is not None}
        return Spectrum(energy=channels.pop("energy"), channels=channels, metadata=metadata)

    def _find(self, run_uid: str | None) -> tuple[str, _Run]:
        runs = list(self._runs.items())  # at once: the RunEngine's thread may be adding one
        for uid, run in reversed(runs):
            if uid == run_uid or (run_uid is None and run.is_xas):
                return uid, run
        held = ", ".join(uid for uid, _ in runs) or "none"
        asked = f"run {run_uid}" if run_uid else "an absorption scan"
        raise SpectrumError(f"{asked} was not collected (runs held: {held}); subscribe before the scan")

    def _start(self, doc: Document) -> None:
        self._runs[doc["uid"]] = _Run(doc)
        if len(self._runs) > KEEP:
            finished = (uid for uid, run in self._runs.items() if run.exit_status)
            self._forget_streams(self._runs.pop(next(finished, next(iter(self._runs)))))

    def _descriptor(self, doc: Document) -> None:
        run = self._runs.get(doc["run_start"])
        if run is None or doc.get("name") != "primary":
            return
        try:
            channels = find_channels(run.start, doc["data_keys"], self._channels)
        except InputError as error:
            run.problem = str(error)
            return
        if run.rows and channels != run.channels:
            run.problem = f"its channels changed during the run, from {run.channels} to {channels}"
            return
        run.channels = channels
        self._streams[doc["uid"]] = run

    def _event(self, doc: Document) -> None:
        run = self._streams.get(doc["descriptor"])
        if run is not None:
            run.rows.append(tuple(doc["data"][key] for key in run.channels.values()))

    def _event_page(self, doc: Document) -> None:
        run = self._streams.get(doc["descriptor"])
        if run is not None:
            run.rows.extend(zip(*(doc["data"][key] for key in run.channels.values()), strict=True))

    def _stop(self, doc: Document) -> None:
        run = self._runs.get(doc["run_start"])
        if run is None:
            return
        run.exit_status = str(doc["exit_status"])
        self._forget_streams(run)
        if not run.is_xas:
            del self._runs[doc["run_start"]]

    def _forget_streams(self, run: _Run) -> None:
        self._streams = {uid: other for uid, other in self._streams.items() if other is not run}
