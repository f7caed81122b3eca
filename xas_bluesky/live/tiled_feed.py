"""Documents by Tiled: what a server streams of the runs that are being written to it."""

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

import httpx

from xas_bluesky.errors import CatalogError

if TYPE_CHECKING:  # the worker, which imports this package, needs none of it
    from xas_bluesky.results import Catalog
    from xas_bluesky.results.replay import Points

OPEN_RUNS = 8
"""Runs followed at a time, the newest."""
LOOK = 1.0
"""Seconds between looks at what the subscriptions may have missed."""
IDLE = 0.1
"""Seconds between looks at whether to stop."""
LONGEST_PAUSE = 5.0
"""Seconds between attempts to reach a server that went away."""
LARGEST = 64 * 2**20
"""Bytes of a message."""

Path = tuple[str, ...]
"""Where a node is below the runs: run, stream, table or array."""

logger = logging.getLogger(__name__)


def follow_tiled(catalog: "Catalog", on_document: Callable[[str, dict[str, Any]], None], stop: Event) -> None:
    """Call `on_document(name, doc)` with the documents of runs while they are written, on this thread, until `stop` is set.

    Runs that are open when it begins are read first, whole; those that are over are not. Documents are those of
    `Catalog.documents`; some come twice, and not in order: tell points apart by stream and sequence number. When the
    server goes away, runs go on from their writer's backup where it is at hand, and all that was missed is read once the
    server is back.
    """
    feed = _Feed(catalog, on_document)
    pause = LOOK
    while not stop.is_set():
        try:
            feed.follow(stop)
            return
        except (CatalogError, httpx.HTTPError) as error:
            pause = LOOK if feed.reached else min(2 * pause, LONGEST_PAUSE)
            logger.warning("%s; trying again in %.0f s", error, pause)
        finally:
            feed.leave()
        until = monotonic() + pause
        while monotonic() < until and not stop.wait(LOOK):
            feed.read_backups()
        with suppress(CatalogError):
            catalog.reconnect()


class _Feed:
    """Follow the open runs of a catalog: subscriptions make it quick, a look every second makes it sure.

    All work is done by `follow`, on its thread; the subscriptions only fill the inbox.
    """

    def __init__(self, catalog: "Catalog", on_document: Callable[[str, dict[str, Any]], None]) -> None:
        self.reached = False
        self._catalog = catalog
        self._give = on_document
        self._over: set[str] | None = None
        self._open: set[str] = set()
        self._backups: dict[str, tuple[int, int]] = {}
        """run -> bytes and documents read of its backup"""
        self._reset()

    def _reset(self) -> None:
        self._inbox = _Inbox()
        self._depth = 0
        self._subscriptions: dict[Path, Any] = {}
        self._points: dict[Path, Points] = {}
        self._reread: set[str] = set()
        """runs to be read again at the next look: what came before their subscriptions stood, or while they do not"""
        self._deaf: set[str] = set()
        self._refused: set[Path] = set()

    def follow(self, stop: Event) -> None:
        """Follow until `stop` is set; raises CatalogError or httpx.HTTPError when the server goes away."""
        self.reached = False
        runs = self._catalog.runs
        self._depth = len(runs.path_parts)
        self._subscribe((), runs, None)
        while not stop.is_set():
            self._look()
            self.reached = True
            until = monotonic() + LOOK
            while not stop.is_set() and (left := until - monotonic()) > 0:
                with suppress(Empty):
                    self._inbox.queue.get(timeout=min(left, IDLE))()

    def leave(self) -> None:
        """Give up all subscriptions."""
        for subscription in self._subscriptions.values():
            Thread(target=subscription.disconnect, daemon=True).start()  # it may wait for a server that is gone
        self._reset()

    def read_backups(self) -> None:
        """Go on with the runs that Tiled did not take."""
        for uid in sorted(self._open):
            file = self._catalog.backup_of(uid)
            read, count = self._backups.get(uid, (0, 0))
            if file is None or (size := file.stat().st_size) == read:
                continue
            for name, doc in islice(self._catalog.documents(uid), count, None):
                self._give(name, doc)
                count += 1
                if name == "stop":
                    self._close(uid)
            self._backups[uid] = size, count

    def _look(self) -> None:
        latest = self._catalog.latest_runs(OPEN_RUNS)
        if self._over is None:
            self._over = {uid for uid, metadata in latest.items() if "stop" in metadata}
        for uid in self._open - latest.keys():
            self._close(uid)
        for uid, metadata in reversed(latest.items()):
            if uid in self._over:
                continue
            if "stop" in metadata:
                self._finish(uid, metadata["stop"])
            elif (uid,) not in self._subscriptions:
                self._enter((uid,), self._catalog.runs[uid], begun=True)
                self._read(uid)
                self._reread.add(uid)
            elif uid in self._reread | self._deaf:
                self._reread.discard(uid)
                self._read(uid)
        self.read_backups()

    def _read(self, uid: str) -> None:
        if self._catalog.backup_of(uid) is None:
            for name, doc in self._catalog.documents(uid):
                if name != "stop":
                    self._give(name, doc)

    def _finish(self, uid: str, stop: dict[str, Any]) -> None:
        announced = stop.get("num_events") or {}
        complete = {stream: len(points.complete) for (run, stream), points in self._points.items() if run == uid}
        if uid not in self._open or any(complete.get(stream, 0) < count for stream, count in announced.items()):
            self._read(uid)
        self._give("stop", stop)
        self._close(uid)

    def _close(self, uid: str) -> None:
        assert self._over is not None  # noqa: S101
        self._over.add(uid)
        self._open.discard(uid)
        self._points = {path: points for path, points in self._points.items() if path[0] != uid}
        for path in [path for path in self._subscriptions if path[:1] == (uid,)]:
            Thread(target=self._subscriptions.pop(path).disconnect, daemon=True).start()

    def _enter(self, path: Path, node: Any, *, begun: bool) -> None:
        """Follow a node, and those below it; of one that has `begun` only what is new is asked for."""
        from xas_bluesky.results.replay import points_of

        about = node.item["attributes"]
        if path in self._subscriptions:
            return
        if len(path) == 1:
            self._open.add(path[0])
            self._give("start", dict(about["metadata"]["start"]))
        elif len(path) == 2:
            points = points_of(node, path[0])
            if points is None:
                return
            self._points[path] = points
            for descriptor in points.descriptors:
                self._give("descriptor", descriptor)
        elif about["structure_family"] not in ("array", "table"):
            return
        self._subscribe(path, node, None if begun else 0)
        if begun and len(path) < 3:
            for key, child in node.base.items():
                self._enter((*path, key), child, begun=True)

    def _subscribe(self, path: Path, node: Any, start: int | None) -> None:
        subscription = self._subscriptions[path] = node.subscribe(executor=self._inbox)
        if len(path) < 3:
            subscription.child_created.add_callback(self._on_child)
        else:
            subscription.new_data.add_callback(self._on_data)
        if not path:
            subscription.child_metadata_updated.add_callback(self._on_metadata)
        lost = partial(self._inbox.submit, self._on_lost, path)
        Thread(target=_receive, args=(subscription, start, lost), name="xas-tiled-feed", daemon=True).start()

    def _on_child(self, update: Any) -> None:
        path = (*update.subscription.segments[self._depth :], update.key)
        if len(path) > 1 and path[0] not in self._open:
            return
        if len(path) > 1 or "start" in update.metadata:
            self._enter(path, update.child(), begun=False)

    def _on_data(self, update: Any) -> None:
        run, stream, key = path = tuple(update.subscription.segments[self._depth :])
        points = self._points.get((run, stream))
        if points is None or path in self._refused:
            return
        try:
            if update.type == "table-data":
                points.take_table(update.data())
            elif update.type == "array-ref":
                points.take_array(key, update.data(), update.patch.offset[0] if update.patch else 0)
            elif not any(update.block or ()):
                points.take_array(key, update.data(), update.offset[0] if update.offset else 0)
        except (httpx.HTTPStatusError, ValueError) as error:
            self._refused.add(path)
            logger.warning("%s cannot be read (%s); check that its server may read the file", "/".join(path), error)
        for name, doc in points.events():
            self._give(name, doc)

    def _on_metadata(self, update: Any) -> None:
        if update.key in self._open and "stop" in update.metadata:
            self._finish(update.key, update.metadata["stop"])

    def _on_lost(self, path: Path, error: Exception) -> None:
        if path in self._subscriptions:
            where = "/".join(path) or "the catalog"
            logger.info("%s is not streamed (%s); it is looked at every second instead", where, error)
            self._deaf.update(path[:1])


class _Inbox(Executor):
    """Hand the callbacks of all subscriptions to one thread."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        self.queue.put(partial(fn, *args, **kwargs))
        return Future()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Do nothing: closing one subscription must not stop the others."""


def _receive(subscription: Any, start: int | None, lost: Callable[[Exception], object]) -> None:
    try:
        subscription.start(start, max_size=LARGEST)
    except Exception as error:  # whatever websockets and httpx make of a server that is gone or does not stream
        lost(error)
