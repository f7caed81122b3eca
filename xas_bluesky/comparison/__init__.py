"""Comparison: measured against predicted spectra, with everything theory gets wrong allowed for."""

from xas_bluesky.comparison.gap import Gap
from xas_bluesky.comparison.groups import Grouping, Groups, grouping
from xas_bluesky.comparison.hypotheses import Hypotheses, make_hypotheses
from xas_bluesky.comparison.identification import Group, Identification, Ranked, identification, identify, leaders
from xas_bluesky.comparison.posterior import Belief, Posterior
from xas_bluesky.comparison.provisional import Baseline, provisional

__all__ = [
    "Baseline",
    "Belief",
    "Gap",
    "Group",
    "Grouping",
    "Groups",
    "Hypotheses",
    "Identification",
    "Posterior",
    "Ranked",
    "grouping",
    "identification",
    "identify",
    "leaders",
    "make_hypotheses",
    "provisional",
]
