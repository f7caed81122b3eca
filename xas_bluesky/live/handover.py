"""The live reduction beside a scan: documents are handed over to a worker process, which may be slow, stall or die."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Protocol, Self

from xas_bluesky.config import Settings
from xas_bluesky.documents.parts import RunsByPart
from xas_bluesky.live.messages import unpack_scan
from xas_bluesky.live.worker_process import WorkerProcess
from xas_bluesky.spectra import ReducedScan

logger = logging.getLogger(__name__)

Document = Mapping[str, Any]
Show = Callable[[ReducedScan], object]

WAITING = 10_000
"""Documents that may wait for the worker; those that do not fit are read again from the writer's copy."""
KEEP = 8
"""Reduced scans held."""
REMEMBERED = 1000
"""Finished runs remembered, so that none is finished twice."""
DEATHS = 3
"""Workers that may die before one finishes a run; after that, the open runs are given up."""
AGAIN = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0)
"""Seconds before each attempt to read again what a run lacks: the writer may be behind."""
LOOK = 0.05
"""Seconds between looks at what is to be done beside feeding."""
GATHER, LONGEST_GATHER = 0.002, 0.02
"""Seconds for which documents are gathered, the longer the faster they come: to wake for each takes time from the scan."""


class Copy(Protocol):
    """Hold the writer's copy of runs: see `Catalog`."""

    def documents(self, run_uid: str) -> Iterable[tuple[str, Document]]:
        """Give the documents of a run, as far as they are written."""
        ...

    def latest_runs(self, count: int) -> Mapping[str, Mapping[str, Any]]:
        """Give the newest runs: uid -> its start, and its stop once it has stopped."""
        ...


@dataclass(slots=True)
class _Followed:
    """Hold what is to be known of a run until it is finished."""

    head: list[tuple[str, Document]] = field(default_factory=list[tuple[str, Document]])
    """all but its events, which are the many: a new worker has to be told of them"""
    attempts: int = 0
    due: float | None = None
    """when it is to be read again"""

    @property
    def joined_late(self) -> bool:
        return all(name != "start" for name, _ in self.head)

    @property
    def ended(self) -> bool:
        return any(name == "stop" for name, _ in self.head)


class LiveReduction:
    """Reduce absorption scans while they are measured: `RE.subscribe(live)`, then `live.latest()`.

    A call puts the document into a queue, and nothing else: the scan never waits. A thread feeds a worker process, which
    reduces what there is as fast as it can, always the newest. Nothing is lost: what did not fit into the queue, went down
    with a worker that died, or came before this was subscribed, is read again from the writer's `copy` until the run is
    whole. Without a copy, or where it does not have them, the reduced scan says how many points are missing.

    `show` is called with the scan about five times a second, each of `finished` once for a run that has ended, both on a
    thread of their own; what they raise is logged. Close it, or use it in a `with`.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        copy: Copy | None = None,
        show: Show | None = None,
        finished: Iterable[Show] = (),
        waiting: int = WAITING,
    ) -> None:
        self._settings = settings or Settings()
        self._copy, self._show, self._finished = copy, show, tuple(finished)
        self._queue: SimpleQueue[tuple[str, Document]] = SimpleQueue()
        self._most_waiting = waiting
        self._queued = self._gathered = self._last_batch = 0
        self._lost: deque[tuple[str, Document]] = deque(maxlen=waiting)
        self._parts = RunsByPart()
        self._runs: dict[str, _Followed] = {}
        self._strangers: set[str] = set()
        self._looked_for: set[str] = set()
        self._scans: dict[str, bytes] = {}
        self._done: deque[str] = deque(maxlen=REMEMBERED)
        self._changed = threading.Condition()
        self._calls = ThreadPoolExecutor(1, "xas-live-calls")
        self._shown: Future[None] | None = None
        self._deaths = 0
        self._closing = False
        self._worker = WorkerProcess(self._settings, self._hear)
        self._feeder = threading.Thread(target=self._feed, name="xas-live-feeder", daemon=True)
        self._feeder.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, name: str, doc: Document) -> None:
        """Take one document, at once."""
        if self._queue.qsize() < self._most_waiting:
            self._queued += 1
            self._queue.put((name, doc))
        else:
            self._lost.append((name, doc))

    @property
    def pid(self) -> int:
        """The worker's process."""
        return self._worker.pid

    @property
    def waiting(self) -> int:
        """Count the documents that the worker has not handled yet."""
        return self._queued - self._gathered + self._worker.sent - self._worker.handled

    def latest(self, run_uid: str | None = None) -> ReducedScan | None:
        """Return what is known of a run, the latest by default; None before its first point was reduced."""
        with self._changed:
            packed = self._scans.get(run_uid or next(reversed(self._scans), ""))
        return unpack_scan(packed) if packed else None

    def wait(self, run_uid: str, seconds: float = 30.0) -> ReducedScan | None:
        """Wait until a run has ended and is reduced as a whole; return what is known of it by then."""
        with self._changed:
            self._changed.wait_for(lambda: run_uid in self._done, seconds)
        return self.latest(run_uid)

    def close(self, seconds: float = 30.0) -> None:
        """Let the worker finish the runs that have ended, for at most so many seconds, and end it."""
        if self._closing:
            return
        deadline = time.monotonic() + seconds
        while self._busy() and time.monotonic() < deadline:
            time.sleep(LOOK)
        self._closing = True
        self._worker.kill()
        self._feeder.join()
        self._worker.close()
        self._calls.shutdown()

    def _busy(self) -> bool:
        ended = any(run.ended for run in list(self._runs.values()))
        return bool(self.waiting > 0 or self._lost or ended)

    # From here on, on the feeder.

    def _feed(self) -> None:
        looked = 0.0
        while not self._closing:
            items = self._gather()
            self._take(items)
            self._gathered += len(items)
            if time.monotonic() - looked > LOOK and len(items) < self._most_waiting:
                self._look_after()
                looked = time.monotonic()

    def _take(self, items: Iterable[tuple[str, Document]]) -> None:
        fit: list[tuple[str, Document]] = []
        for name, doc in items:
            try:
                self._note(name, doc)
                fit.append((name, doc))
            except Exception as error:
                logger.warning("a %s document cannot be used: %s: %s", name, type(error).__name__, error)
        self._worker.send(fit)

    def _gather(self) -> list[tuple[str, Document]]:
        try:
            items = [self._queue.get(timeout=LOOK)]
        except Empty:
            return []
        time.sleep(min(GATHER * max(self._last_batch, 1), LONGEST_GATHER))
        while len(items) < self._most_waiting:
            try:
                items.append(self._queue.get_nowait())
            except Empty:
                break
        self._last_batch = len(items)
        return items

    def _look_after(self) -> None:
        while self._lost:
            name, doc = self._lost.popleft()
            self._note(name, doc, lost=True)
            if name not in ("event", "event_page"):
                self._worker.send([(name, doc)])  # points are read again; that a run has ended is to be known
        self._look_after_worker()
        self._look_for_strangers()
        now = time.monotonic()
        for uid, run in list(self._runs.items()):
            if run.due is not None and now >= run.due:
                self._read_again(uid, run)

    def _note(self, name: str, doc: Document, *, lost: bool = False) -> None:
        uid = self._parts.run_of(name, doc)
        if uid is None or uid in self._done:
            return
        run = self._runs.setdefault(uid, _Followed())
        if name not in ("event", "event_page"):
            run.head.append((name, doc))
        if name == "stop":
            run.attempts = 0
        if (lost or run.joined_late) and run.due is None and run.attempts == 0:
            run.due = time.monotonic()

    def _look_after_worker(self) -> None:
        worker = self._worker
        if worker.alive and worker.stalled:
            logger.error("the live reduction has stalled; its worker is ended")
            worker.kill()
        if worker.alive or self._closing:
            return
        self._deaths += 1
        if self._deaths > DEATHS:
            given_up, self._runs, self._deaths = list(self._runs), {}, 0
            self._done.extend(given_up)
            logger.error("the live reduction died %d times; not reduced: run %s", DEATHS + 1, ", ".join(given_up) or "(none)")
        else:
            logger.warning("the worker of the live reduction died; another is started, and catches up")
        worker.close()
        self._worker = WorkerProcess(self._settings, self._hear)
        for run in self._runs.values():
            self._worker.send(run.head)
            run.attempts, run.due = 0, time.monotonic()
        if self._runs:
            self._worker.send([(name, doc) for name, doc in worker.unhandled if name in ("event", "event_page")])

    def _look_for_strangers(self) -> None:
        """Find the runs of points whose stream was never described: they began before this was subscribed."""
        strange, self._strangers = self._strangers - self._looked_for, set()
        if strange and self._copy is not None:
            self._looked_for |= strange
            try:
                newest = self._copy.latest_runs(KEEP)
            except Exception as error:
                logger.warning("the run that was joined half way cannot be looked for: %s", error)
                return
            for uid, about in newest.items():
                if not about.get("stop") and uid not in self._done and uid not in self._runs:
                    self._runs[uid] = _Followed(due=time.monotonic())

    def _read_again(self, uid: str, run: _Followed) -> None:
        run.due = None
        if self._copy is None:
            return
        run.attempts += 1
        try:
            self._take(self._copy.documents(uid))
        except Exception as error:
            logger.warning("run %s cannot be read again yet: %s", uid, error)
            if not self._try_later(run) and run.ended:
                self._finish(uid, self._scans.get(uid))

    def _try_later(self, run: _Followed) -> bool:
        """Say whether there is another attempt left."""
        if self._copy is None or run.attempts >= len(AGAIN):
            return False
        run.due = time.monotonic() + AGAIN[run.attempts]
        return True

    # From here on, on the listener.

    def _hear(self, worker: WorkerProcess, message: Mapping[str, Any]) -> None:
        if worker is not self._worker:
            return
        self._strangers |= set(message["strangers"])
        for uid, about in message["runs"].items():
            if "scan" in about:
                with self._changed:
                    self._scans[uid] = about["scan"]
                    while len(self._scans) > KEEP:
                        del self._scans[next(iter(self._scans))]
                if self._show is not None and (self._shown is None or self._shown.done()):
                    self._shown = self._calls.submit(_call, (self._show,), about["scan"])
            if about["ended"] and uid in self._runs:
                self._end(uid, self._runs[uid], about)

    def _end(self, uid: str, run: _Followed, about: Mapping[str, Any]) -> None:
        """Finish a run that has ended, unless it lacks points that may still be read again."""
        if about["missing"] and (run.due is not None or self._try_later(run)):
            return
        self._finish(uid, about.get("scan"))

    def _finish(self, uid: str, scan: bytes | None) -> None:
        self._deaths = 0
        if scan is not None:
            self._calls.submit(_call, self._finished, scan)
        self._calls.submit(self._forget, uid)

    def _forget(self, uid: str) -> None:
        with self._changed:
            self._runs.pop(uid, None)
            self._done.append(uid)
            self._changed.notify_all()


def _call(calls: Iterable[Show], packed: bytes) -> None:
    scan = unpack_scan(packed)
    for call in calls:
        try:
            call(scan)
        except Exception:
            logger.exception("run %s: %s failed", scan.spectrum.metadata.get("uid"), getattr(call, "__name__", call))
