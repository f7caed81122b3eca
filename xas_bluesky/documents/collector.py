"""Collect the documents of runs into spectra, while they are measured."""

from collections import deque
from collections.abc import Callable

from xas_bluesky.config import Settings
from xas_bluesky.documents.external import KINDS, ExternalValues
from xas_bluesky.documents.parts import RunsByPart
from xas_bluesky.documents.run import Document, Run, Stream
from xas_bluesky.errors import SpectrumError
from xas_bluesky.spectra import Spectrum

KEEP = 8
"""Runs held: the finished ones go first, oldest first."""
STRANGERS = 1000
"""Points held whose stream was not described yet, or whose run's start document did not come yet."""


class Collector:
    """Turn the documents of runs into spectra: `RE.subscribe(collector)`, then `collector.spectrum()`.

    Documents go to their own run, and points are told apart by stream and sequence number: runs may be nested, joined half
    way, and received again, in part or in another order. The work per document is constant, files of external data are
    read by `spectrum` alone, and nothing is raised into the RunEngine: a run without channels is reported by `spectrum`, a
    run that never was an absorption scan (neither its start document nor its data keys say so) is forgotten when it
    stops. The last few runs are held.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()
        self._runs: dict[str, Run] = {}
        self._streams: dict[str, tuple[Run, Stream | None]] = {}
        self.parts = RunsByPart()
        self._early_stops: dict[str, Document] = {}
        """of runs that were joined so late that nothing else of them is known"""
        self._strangers: deque[tuple[str, Document]] = deque(maxlen=STRANGERS)
        self._handlers: dict[str, Callable[[Document], None]] = {
            "start": self._start,
            "descriptor": self._descriptor,
            "event": self._event,
            "event_page": self._event_page,
            "stop": self._stop,
        }

    def __call__(self, name: str, doc: Document) -> None:
        """Take one document."""
        if name in KINDS:
            self._external(name, doc)
            return
        self.parts.run_of(name, doc)
        if handler := self._handlers.get(name):
            handler(doc)

    @property
    def strangers(self) -> frozenset[str]:
        """Name the descriptors that points were received of, but that were not: the run was joined half way."""
        return frozenset(doc["descriptor"] for _, doc in list(self._strangers))

    def spectrum(self, run_uid: str | None = None) -> Spectrum:
        """Return what a run has measured so far, the latest absorption scan by default.

        Metadata: uid, edge, sample, start_time, xdi, and exit_status and stop_time once it has stopped; missing counts the
        points that were measured but not received. Raises SpectrumError when the run is not held, lacks channels, or has
        no points yet.
        """
        run = self._find(run_uid)
        try:
            return run.spectrum()
        except SpectrumError as error:
            raise SpectrumError(f"run {run.uid}: {error}") from error

    def settings(self, run_uid: str | None = None) -> Settings:
        """Return the settings of a run: what its start document says, laid over those of the beamline."""
        return self._find(run_uid).settings

    def outstanding(self, run_uid: str) -> int:
        """Count the points of a run that has stopped that were not received; 0 for one that was forgotten.

        Of a run that was joined so late that only its stop document came, these are all of its points.
        """
        run = self._runs.get(run_uid) or Run(run_uid, self._settings, stop=self._early_stops.get(run_uid, {}))
        return run.outstanding

    def remarks(self, run_uid: str | None = None) -> tuple[str, ...]:
        """Say what could not be read of a run."""
        run = self._find(run_uid)
        return (*run.remarks.values(), *(run.external.problems.values() if run.external else ()))

    def _find(self, run_uid: str | None) -> Run:
        runs = list(self._runs.items())  # at once: the RunEngine's thread may be adding one
        for uid, run in reversed(runs):
            if uid == run_uid or (run_uid is None and run.is_xas):
                return run
        held = ", ".join(uid for uid, _ in runs) or "none"
        asked = f"run {run_uid}" if run_uid else "an absorption scan"
        raise SpectrumError(f"{asked} was not collected (runs held: {held}); subscribe before the scan")

    def _run(self, uid: str) -> Run:
        if uid not in self._runs:
            self._runs[uid] = Run(uid, self._settings)
            if len(self._runs) > KEEP:
                finished = (uid for uid, run in self._runs.items() if run.stop)
                self._forget(next(finished, next(iter(self._runs))))
        return self._runs[uid]

    def _start(self, doc: Document) -> None:
        run = self._run(doc["uid"])
        if not run.start:
            run.begin(doc)
            early, run.early = run.early, []
            for name, early_doc in early:
                self._handlers[name](early_doc)
            run.stop = self._early_stops.pop(run.uid, run.stop)

    def _descriptor(self, doc: Document) -> None:
        run = self._run(doc["run_start"])
        self._hold(run, "descriptor", doc)
        self._streams[doc["uid"]] = run, run.describe(doc)
        if any(about.get("external") is not None for about in doc["data_keys"].values()):
            run.external = run.external or ExternalValues()
            run.external.take("descriptor", doc)
        if self._strangers:
            self._take_strangers()

    def _event(self, doc: Document) -> None:
        found = self._streams.get(doc["descriptor"])
        if found is None:
            self._strangers.append(("event", doc))
            return
        run, stream = found
        self._hold(run, "event", doc)
        if stream is not None:
            measured = stream.measured_at(doc.get("timestamps", {}), doc["time"])
            stream.take(doc["seq_num"], measured, doc["data"], run.settings)
            if stream.external and run.external is not None:
                run.external.take("event", doc)

    def _event_page(self, doc: Document) -> None:
        found = self._streams.get(doc["descriptor"])
        if found is None:
            self._strangers.append(("event_page", doc))
            return
        run, stream = found
        self._hold(run, "event_page", doc)
        if stream is not None:
            for row, (seq_num, time) in enumerate(zip(doc["seq_num"], doc["time"], strict=True)):
                data, stamps = (
                    {key: values[row] for key, values in doc.get(part, {}).items()} for part in ("data", "timestamps")
                )
                stream.take(seq_num, stream.measured_at(stamps, time), data, run.settings)
            if stream.external and run.external is not None:
                run.external.take("event_page", doc)

    @staticmethod
    def _hold(run: Run, name: str, doc: Document) -> None:
        if not run.start and (name == "descriptor" or len(run.early) < STRANGERS):
            run.early.append((name, doc))

    def _external(self, name: str, doc: Document) -> None:
        uid = self.parts.run_of(name, doc)
        run = self._runs.get(uid or "")
        if uid is None and "descriptor" in doc:
            self._strangers.append((name, doc))
        elif run is not None:
            run.external = run.external or ExternalValues()
            run.external.take(name, doc)

    def _stop(self, doc: Document) -> None:
        run = self._runs.get(doc["run_start"])
        if run is None:
            self._early_stops[doc["run_start"]] = doc
            if len(self._early_stops) > KEEP:
                del self._early_stops[next(iter(self._early_stops))]
            return
        run.stop = doc
        if run.start and not run.is_xas:
            self._forget(run.uid)

    def _forget(self, uid: str) -> None:
        gone = self._runs.pop(uid)
        self._streams = {key: found for key, found in self._streams.items() if found[0] is not gone}

    def _take_strangers(self) -> None:
        waiting, self._strangers = list(self._strangers), deque(maxlen=STRANGERS)
        for name, doc in waiting:
            self(name, doc)
