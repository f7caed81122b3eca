"""Following scans on another machine: what `xas-bluesky watch` does."""

import json
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from xas_bluesky.config import Settings, load_settings
from xas_bluesky.errors import SettingsError
from xas_bluesky.files import save_xdi
from xas_bluesky.live import LiveReduction, follow_tiled, follow_zmq
from xas_bluesky.report import scan_line, scan_summary
from xas_bluesky.results import open_catalog
from xas_bluesky.spectra import ReducedScan

Say = Callable[[str], None]


def watch(
    catalog: str | None,
    zmq: str | None,
    keys: Path | None,
    settings: Path | None,
    xdi: Path | None,
    runs: int | None,
    as_json: bool,
    say: Say,
) -> None:
    """Follow a catalog or a proxy until interrupted, or until so many `runs` have ended; see the command line's help.

    With both, documents come from the proxy, and what it loses from the catalog. A finished scan is kept in the catalog,
    and as a file in the folder `xdi`. Raises SettingsError where neither is given, or one that cannot be used.
    """
    if catalog is None and zmq is None:
        raise SettingsError("watch: nothing to follow; give --catalog or --zmq")
    if keys is not None and zmq is None:
        raise SettingsError("watch: --keys are those of a proxy; give --zmq as well")
    stop = threading.Event()
    told = load_settings(settings) if settings else Settings()
    with ExitStack() as opened:
        opened.enter_context(_stopping_on_signals(stop))
        held = opened.enter_context(open_catalog(catalog, create=False)) if catalog else None
        ended = _Ended(runs, stop, as_json, say)
        keep: list[Callable[[ReducedScan], object]] = [partial(save_xdi, xdi)] if xdi else []
        keep += [held.save_reduced] if held else []
        live = LiveReduction(told, copy=held, show=partial(_tell, as_json=as_json, say=say), finished=[*keep, ended])
        with live:
            if zmq:
                follow_zmq(zmq, keys, live, stop)
            elif held:
                follow_tiled(held, live, stop)


class _Ended:
    """Say each finished scan, and stop after the last one wanted."""

    def __init__(self, runs: int | None, stop: threading.Event, as_json: bool, say: Say) -> None:
        self._left, self._stop, self._as_json, self._say = runs, stop, as_json, say

    def __call__(self, scan: ReducedScan) -> None:
        _tell(scan, as_json=self._as_json, say=self._say, finished=True)
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self._stop.set()


def _tell(scan: ReducedScan, *, as_json: bool, say: Say, finished: bool = False) -> None:
    if as_json:
        say(json.dumps({**scan_summary(scan), "finished": finished}, allow_nan=False))
    elif finished:
        say("\n  ".join([scan_line(scan), *scan.remarks]))
    else:
        say(scan_line(scan))


@contextmanager
def _stopping_on_signals(stop: threading.Event) -> Generator[None]:
    """Set `stop` where a signal would end the process."""
    before: dict[signal.Signals, Any] = {}
    for which in (signal.SIGINT, signal.SIGTERM):
        before[which] = signal.signal(which, lambda *_: stop.set())
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
