"""Live plots for the IPython session: scans shown from any thread are drawn in the main one.

matplotlib is loaded with the first plot, and never by a question.
"""

import atexit
import functools
import logging
import sys
import threading
from typing import Any

from bluesky.utils import DefaultDuringTask

from xas_bluesky.live.panels import Panels, same_subject
from xas_bluesky.spectra import ReducedScan

logger = logging.getLogger(__name__)

WINDOW = "live XAS"
KEPT = 20
"""Scans that are remembered, to be shown as earlier repeats."""
INTERVAL = 300
"""ms between looks for news; drawing takes about 50 ms, in which Python's lock is shared with the scan."""
FLUSH = 0.03
"""s between looks for news and mouse clicks while a plan runs."""


def plots_wanted() -> bool:
    """Say whether windows can be drawn: in an IPython session after `%matplotlib`, and never under a queue server."""
    ipython: Any = sys.modules.get("IPython")
    if _in_queue_server() or "matplotlib" not in sys.modules or ipython is None or ipython.get_ipython() is None:
        return False
    import matplotlib as mpl
    from matplotlib.backends.registry import BackendFilter, backend_registry

    backend = mpl.get_backend(auto_select=False) or ""  # asking must not choose one
    return mpl.is_interactive() and backend.lower() in backend_registry.list_builtin(BackendFilter.INTERACTIVE)


def _in_queue_server() -> bool:
    package: Any = sys.modules.get("bluesky_queueserver")  # its workers have it loaded
    return package is not None and bool(package.is_re_worker_active())


class LivePlots:
    """Draw scans while they are measured, in one window: mu, i0 and the reference over a common energy axis.

    To be made in the main thread, which draws; without a display nothing is drawn. Errors are logged, never raised. A
    window that is closed comes back with the next scan.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scans: dict[str, ReducedScan] = {}  # by uid, in the order they began
        self._news = False
        self._drawn = self._failed = ""
        self._panels: Panels | None = None
        try:
            timer = _gui_canvas().new_timer(INTERVAL, [(self.update, (), {})])
            timer.start()
        except Exception as error:
            logger.error("no live plots, as matplotlib cannot open a window; choose its backend by %%matplotlib: %s", error)
        else:
            atexit.register(timer.stop)

    def show(self, scan: ReducedScan) -> None:
        """Take the newest state of a scan, from any thread, to be drawn in the main one."""
        with self._lock:
            self._scans[str(scan.spectrum.metadata.get("uid", ""))] = scan
            self._news = True
            if len(self._scans) > KEPT:
                del self._scans[next(iter(self._scans))]

    def update(self) -> None:
        """Draw what was shown since the last time; in the main thread, where a timer calls it."""
        with self._lock:
            scans = list(self._scans.items()) if self._news else []
            self._news = False
        if not scans:
            return
        uid, current = scans[-1]
        try:
            self._draw(uid, current, [scan for _, scan in scans[:-1] if same_subject(scan, current)])
        except Exception:
            if uid != self._failed:  # once a scan: the timer comes back
                logger.exception("scan %s cannot be drawn", uid)
            self._failed = uid

    def _draw(self, uid: str, current: ReducedScan, earlier: list[ReducedScan]) -> None:
        import matplotlib.pyplot as plt

        if self._panels is None or not plt.fignum_exists(WINDOW):
            if uid == self._drawn:  # the user closed it during this scan
                return
            self._panels = Panels(plt.figure(WINDOW, figsize=(8, 8)))
        self._drawn = uid
        self._panels.draw(current, earlier)
        self._panels.figure.canvas.draw_idle()


class DrawingDuringTask(DefaultDuringTask):
    """Keep the windows alive while a plan runs, whatever the backend: `RunEngine({}, during_task=DrawingDuringTask())`.

    The RunEngine's own task serves the windows of Qt only; those of Tk would stand still until the plan ends.
    """

    def block(self, blocking_event: threading.Event) -> None:
        """Serve the windows until the plan has ended."""
        if plots_wanted() and "qt" not in sys.modules["matplotlib"].get_backend().lower():
            try:
                while not blocking_event.wait(FLUSH):
                    _gui_canvas().flush_events()
            except Exception:
                logger.exception("the plots stand still until the plan has ended")
        super().block(blocking_event)


def _gui_canvas() -> Any:
    import matplotlib as mpl

    return _canvas_of(mpl.get_backend())


@functools.cache
def _canvas_of(backend: str) -> Any:  # noqa: ARG001
    """Return a canvas that is never shown nor closed: under every backend its timers run in the main thread."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    with mpl.rc_context({"interactive": False}):  # else it would be shown
        manager: Any = plt.new_figure_manager(0)  # not one of pyplot's figures: no plt.plot lands there
    atexit.register(manager.destroy)
    return manager.canvas
