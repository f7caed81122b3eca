"""Comparison: measured against predicted spectra, with everything theory gets wrong allowed for."""

from xas_bluesky.comparison.gap import Gap
from xas_bluesky.comparison.groups import Groups, indistinguishable
from xas_bluesky.comparison.hypotheses import NONE, Hypotheses, make_hypotheses
from xas_bluesky.comparison.identification import Group, Identification, Ranked, identification, identify
from xas_bluesky.comparison.posterior import Posterior, compare, provisional

__all__ = [
    "NONE",
    "Gap",
    "Group",
    "Groups",
    "Hypotheses",
    "Identification",
    "Posterior",
    "Ranked",
    "compare",
    "identification",
    "identify",
    "indistinguishable",
    "make_hypotheses",
    "provisional",
]
