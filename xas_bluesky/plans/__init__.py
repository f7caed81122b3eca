"""Bluesky plans that measure absorption spectra."""

from xas_bluesky.plans.adaptive import Decider, agent_scan, next_request, wait_at_most
from xas_bluesky.plans.limits import limits_of, reachable
from xas_bluesky.plans.xas_scan import measure, xas_scan

__all__ = ["Decider", "agent_scan", "limits_of", "measure", "next_request", "reachable", "wait_at_most", "xas_scan"]
