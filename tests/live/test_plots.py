"""Where live plots are drawn: in the main thread, in an IPython session with windows, and nowhere else."""

import json
import logging
import os
import subprocess
import sys
import threading
from types import ModuleType

import bluesky.plan_stubs as bps
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from bluesky import RunEngine
from matplotlib.backend_bases import FigureManagerBase, TimerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

from xas_bluesky.demo import known_sample
from xas_bluesky.live import plots as module
from xas_bluesky.live.plots import KEPT, WINDOW, DrawingDuringTask, LivePlots
from xas_bluesky.spectra import Absorption, ReducedScan, Spectrum

MEASURED = known_sample()


def scan(uid, points=40, sample="sulfone"):
    energy, mu = MEASURED.energy[:points], MEASURED.channels["mu"][:points]
    spectrum = Spectrum(energy, {"mu": mu}, {"uid": uid, "sample": sample, "edge": "S K"})
    return ReducedScan(spectrum, Absorption(energy, mu, np.ones(points)), None, None, 0.0, None, "in the edge", {}, ())


class Windows:
    """What a window system without a screen did: its timers run, and which threads served and drew its windows."""

    def __init__(self):
        self.timers, self.served_by, self.drawn_by = [], [], []


@pytest.fixture(autouse=True)
def windows(monkeypatch):
    windows = Windows()

    class Timer(TimerBase):
        def _timer_start(self):
            windows.timers.append(self)

    class Canvas(FigureCanvasAgg):
        _timer_cls = Timer
        manager_class = FigureManagerBase

        def flush_events(self):
            windows.served_by.append(threading.current_thread())
            for timer in windows.timers:
                timer._on_timer()

        def draw(self):
            windows.drawn_by.append(threading.current_thread())
            super().draw()

    backend = ModuleType("windows_without_a_screen")
    backend.FigureCanvas, backend.FigureManager = Canvas, FigureManagerBase
    monkeypatch.setitem(sys.modules, backend.__name__, backend)
    module._canvas_of.cache_clear()
    mpl.use(f"module://{backend.__name__}")
    yield windows
    plt.close("all")
    mpl.use("Agg")


def in_a_thread(act, *args):
    thread = threading.Thread(target=act, args=args)
    thread.start()
    thread.join()


def drawn(line=1):
    return plt.figure(WINDOW).axes[0].lines[line].get_ydata()


def test_a_scan_shown_by_another_thread_waits_for_the_main_one(windows):
    plots = LivePlots()
    assert plt.get_fignums() == []  # no empty window, and none for plt.plot to land in
    in_a_thread(plots.show, scan("one", 20))
    in_a_thread(plots.show, scan("one", 30))
    assert plt.get_fignums() == []
    plots.update()
    np.testing.assert_array_equal(drawn(), MEASURED.channels["mu"][:30])
    plots.update()
    assert windows.drawn_by == [threading.main_thread()]  # once: no news, no drawing


def test_repeats_stay_and_other_samples_do_not():
    plots = LivePlots()
    for uid, sample in (("one", "sulfone"), ("two", "thiol"), ("three", "sulfone")):
        plots.show(scan(uid, sample=sample))
        plots.update()
    plots.show(scan("one", 35))  # its last state comes late: it stays an earlier scan
    plots.update()
    np.testing.assert_array_equal(drawn(0)[:-1], MEASURED.channels["mu"][:35])
    assert "three" in plt.figure(WINDOW).get_suptitle()
    for number in range(2 * KEPT):
        plots.show(scan(f"repeat {number}"))
    plots.update()
    assert np.isnan(drawn(0)).sum() == KEPT - 1


def test_a_closed_window_comes_back_with_the_next_scan():
    plots = LivePlots()
    plots.show(scan("one", 20))
    plots.update()
    plt.close(WINDOW)
    plots.show(scan("one", 30))
    plots.update()
    assert not plt.fignum_exists(WINDOW)
    plots.show(scan("two"))
    plots.update()
    assert plt.fignum_exists(WINDOW)


def test_errors_are_logged_once_a_scan_and_never_raised(caplog, monkeypatch):
    def fail(*_):
        raise ValueError("no colour left")

    monkeypatch.setattr(module.Panels, "draw", fail)
    plots = LivePlots()
    for uid in ("one", "one", "two"):
        plots.show(scan(uid))
        plots.update()
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == ["scan one cannot be drawn", "scan two cannot be drawn"]
    assert "no colour left" in caplog.text


def test_the_window_is_drawn_while_a_plan_runs(windows, monkeypatch):
    monkeypatch.setattr(module, "plots_wanted", lambda: True)
    plots = LivePlots()
    seen = threading.Event()
    windows.timers[0].add_callback(lambda: seen.set() if windows.drawn_by else None)

    def plan():
        in_a_thread(plots.show, scan("one"))
        yield from bps.null()
        assert seen.wait(10)  # this is the RunEngine's thread; the main one waits for the plan, and draws

    RunEngine({}, during_task=DrawingDuringTask())(plan())
    assert windows.drawn_by == [threading.main_thread()]
    assert set(windows.served_by) == {threading.main_thread()}


@pytest.mark.parametrize("wanted", [True, False])
def test_a_plan_runs_whatever_becomes_of_the_windows(windows, caplog, monkeypatch, wanted):
    def fail():
        raise RuntimeError("the window system is gone")

    monkeypatch.setattr(module, "plots_wanted", lambda: wanted)
    LivePlots()
    windows.timers[0].add_callback(fail)
    assert RunEngine({}, during_task=DrawingDuringTask())(bps.sleep(0.2)) == ()
    assert ("window system is gone" in caplog.text) == wanted


SESSION = """
import json, sys
from types import ModuleType
import matplotlib as mpl
from xas_bluesky.live.plots import plots_wanted
assert not plots_wanted()
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.instance()
assert not plots_wanted()
for backend, interactive, active in json.loads(sys.argv[1]):
    mpl.use(backend)
    mpl.interactive(interactive)
    sys.modules.pop("bluesky_queueserver", None)
    if active is not None:
        queue_server = sys.modules["bluesky_queueserver"] = ModuleType("bluesky_queueserver")
        queue_server.is_re_worker_active = lambda: active
    print(plots_wanted(), "matplotlib.pyplot" in sys.modules)
"""
SESSIONS = {
    # backend, interactive, whether a queue server's worker is active (None: there is none) -> are plots wanted?
    "%matplotlib tk": ("TkAgg", True, None, True),
    "a client of the queue server": ("QtAgg", True, False, True),
    "a worker of the queue server": ("QtAgg", True, True, False),
    "no %matplotlib": ("QtAgg", False, None, False),
    "no windows": ("Agg", True, None, False),
    "a notebook's pictures": ("module://matplotlib_inline.backend_inline", True, None, False),
}


def session(tmp_path, script, *arguments):
    variables = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        env={**variables, "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_plots_are_wanted_where_someone_sees_them(tmp_path):
    ended = session(tmp_path, SESSION, json.dumps([told[:3] for told in SESSIONS.values()]))
    found = dict(zip(SESSIONS, ended.stdout.splitlines(), strict=True))
    assert found == {name: f"{wanted} False" for name, (*_, wanted) in SESSIONS.items()}, ended.stderr


@pytest.mark.parametrize("backend", ["Agg", "TkAgg"])
def test_without_a_display_nothing_happens(tmp_path, backend):
    script = f"""
import matplotlib
matplotlib.use({backend!r})
from xas_bluesky.demo import known_sample
from xas_bluesky.live.plots import LivePlots
from xas_bluesky.spectra import Absorption, ReducedScan
measured = known_sample()
absorption = Absorption(measured.energy, measured.channels["mu"], measured.energy)
plots = LivePlots()
plots.show(ReducedScan(measured, absorption, None, None, 0.0, None, "whole", {{}}, ()))
"""
    ended = session(tmp_path, script)
    assert (ended.returncode, ended.stdout, "Traceback" in ended.stderr) == (0, "", False)
    assert ("no live plots" in ended.stderr) == (backend == "TkAgg")
