"""The analysis beside a running scan: reduced in a process of its own, plotted, followed from other machines."""

from xas_bluesky.live.handover import LiveReduction
from xas_bluesky.live.plots import DrawingDuringTask, LivePlots, plots_wanted
from xas_bluesky.live.tiled_feed import follow_tiled
from xas_bluesky.live.zmq_feed import Publisher, follow_zmq

__all__ = ["DrawingDuringTask", "LivePlots", "LiveReduction", "Publisher", "follow_tiled", "follow_zmq", "plots_wanted"]
