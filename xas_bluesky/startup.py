"""What the startup files have in common: the RunEngine, the devices, and the session of a beamline."""

import logging
import os
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from bluesky import RunEngine
from rich import print as show

from xas_bluesky.beamline import Devices
from xas_bluesky.beamline_sim import SimulatedBeamline
from xas_bluesky.completion import this_ipython
from xas_bluesky.config import load_settings
from xas_bluesky.demo import known_sample
from xas_bluesky.devices import connect_devices
from xas_bluesky.errors import XASError
from xas_bluesky.escalation import Escalation
from xas_bluesky.files import save_xdi
from xas_bluesky.live import DrawingDuringTask, LivePlots, LiveReduction, plots_wanted
from xas_bluesky.metadata import SavedMetadata
from xas_bluesky.plans import ring_suspender
from xas_bluesky.predictor_client import LocalPredictor
from xas_bluesky.report import step_table
from xas_bluesky.results import Catalog
from xas_bluesky.session import Session
from xas_bluesky.simulation import devices_of

SETTINGS, CATALOG, METADATA, XDI = (f"XAS_BLUESKY_{name}" for name in ("SETTINGS", "CATALOG", "METADATA", "XDI"))
"""Environment variables: a beamline.toml, the catalog's folder or URL, the file of RE.md, and the folder of XDI files."""
SIMULATED = {
    "beam": {"least_current": 50.0, "recovery": 1.0},
    "beamline": {"name": "simulated"},
    "mono": {"low": 2000.0, "high": 3000.0},  # eV, about the one edge that it knows
}
"""What a beamline.toml would say of the simulated beamline, beside its noise."""


def where_runs_go() -> str:
    """Return the folder or URL of the catalog, "runs" by default."""
    return os.environ.get(CATALOG, "runs")


def make_engine() -> RunEngine:
    """Make the RunEngine; its metadata persists in the file that XAS_BLUESKY_METADATA names, metadata.json by default."""
    metadata: Any = SavedMetadata(Path(os.environ.get(METADATA, "metadata.json")))  # any mapping serves
    return RunEngine(metadata, during_task=DrawingDuringTask())


def say_errors() -> None:
    """Have Bluesky's log and IPython show the package's own errors as a sentence; `%tb` shows where one comes from."""
    logging.getLogger("bluesky").addFilter(_without_trace)
    shell = this_ipython()
    if shell is None:
        return

    def say(_: Any, kind: type[XASError], error: XASError, trace: TracebackType, tb_offset: int | None = None) -> None:  # noqa: ARG001
        sys.last_type, sys.last_value, sys.last_traceback = kind, error, trace
        print(f"{kind.__name__}: {error}", file=sys.stderr)  # noqa: T201

    shell.set_custom_exc((XASError,), say)


def _without_trace(record: logging.LogRecord) -> bool:
    """Leave the trace out where Bluesky logs an error of this package: its sentence says all, and the error is raised too."""
    if record.exc_info and isinstance(record.exc_info[1], XASError):
        record.msg, record.args, record.exc_info = f"{record.msg}: {record.exc_info[1]}", (), None
    return True


def make_devices() -> Devices:
    """Connect to the devices of the beamline.toml that XAS_BLUESKY_SETTINGS names; without, simulate methionine sulfone."""
    path = os.environ.get(SETTINGS)
    if path is None:
        simulated = devices_of(SimulatedBeamline(known_sample(), "S K"))
        return replace(simulated, settings=simulated.settings.overridden(SIMULATED, "the simulated beamline"))
    try:
        return connect_devices(load_settings(Path(path)))
    except XASError as error:
        error.add_note("Nothing of the beamline is loaded: correct what is said, leave, and start again.")
        raise


def watch_beam(engine: RunEngine, devices: Devices) -> None:
    """Have every plan wait while the ring current is low, where the settings say what is low."""
    suspender = ring_suspender(devices.ring_current, devices.settings.beam)
    if suspender is not None:
        engine.install_suspender(suspender)


def make_session(devices: Devices, catalog: Catalog) -> Session:
    """Make the session; leading candidates are computed from first principles meanwhile, where that is installed."""
    escalation = None if Escalation.why_not() else Escalation()
    return Session(devices, LocalPredictor(), catalog, lambda step: show(step_table(step)), escalation)


def reduce_live(engine: RunEngine, devices: Devices, catalog: Catalog) -> LiveReduction:
    """Have each scan reduced while it is measured, plotted after `%matplotlib`, kept, and written as an XDI file."""
    live = LiveReduction(
        devices.settings,
        copy=catalog,
        show=LivePlots().show if plots_wanted() else None,
        finished=[partial(save_xdi, Path(os.environ.get(XDI, "xdi"))), catalog.save_reduced],
    )
    engine.subscribe(live)
    # what has ended is still reduced and kept: atexit would come when the catalog's server has ended
    threading._register_atexit(live.close)  # pyright: ignore
    return live
