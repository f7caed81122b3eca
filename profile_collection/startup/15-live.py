"""Live reduction: each scan is reduced while it is measured, plotted after `%matplotlib`, kept, and written as an XDI file."""

import os
from functools import partial
from pathlib import Path

from xas_bluesky.files import save_xdi
from xas_bluesky.live import LivePlots, LiveReduction, plots_wanted
from xas_bluesky.simulation import devices_of

live = LiveReduction(
    devices_of(beamline).settings,  # noqa: F821
    copy=catalog,  # noqa: F821
    show=LivePlots().show if plots_wanted() else None,
    finished=[partial(save_xdi, Path(os.environ.get("XAS_BLUESKY_XDI", "xdi"))), catalog.save_reduced],  # noqa: F821
)
RE.subscribe(live)  # noqa: F821
