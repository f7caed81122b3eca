"""Bluesky plans that measure absorption spectra."""

from xas_bluesky.plans.adaptive import Decider, agent_scan, next_request, wait_at_most
from xas_bluesky.plans.care import BeamCare
from xas_bluesky.plans.limits import limits_of, reachable
from xas_bluesky.plans.ring import ring_suspender
from xas_bluesky.plans.xas_scan import measure, xas_scan

__all__ = [
    "BeamCare",
    "Decider",
    "agent_scan",
    "limits_of",
    "measure",
    "next_request",
    "reachable",
    "ring_suspender",
    "wait_at_most",
    "xas_scan",
]
