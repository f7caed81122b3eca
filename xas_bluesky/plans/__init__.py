"""Bluesky plans that measure absorption spectra."""

from xas_bluesky.plans.adaptive import Decider, agent_scan, wait_at_most
from xas_bluesky.plans.xas_scan import measure, xas_scan

__all__ = ["Decider", "agent_scan", "measure", "wait_at_most", "xas_scan"]
