"""The analysis beside a running scan: reduced in a process of its own, plotted, followed from other machines."""

from xas_bluesky.live.handover import LiveReduction

__all__ = ["LiveReduction"]
