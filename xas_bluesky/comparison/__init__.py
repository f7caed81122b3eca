"""Comparison: measured against predicted spectra, with everything theory gets wrong allowed for."""

from xas_bluesky.comparison.fingerprint import Fit, Reference, fit_references, rank_references, read_references
from xas_bluesky.comparison.gap import Gap
from xas_bluesky.comparison.groups import Grouping, Groups, grouping
from xas_bluesky.comparison.hypotheses import Hypotheses, make_hypotheses
from xas_bluesky.comparison.identification import Group, Identification, Ranked, identification, identify, leaders
from xas_bluesky.comparison.mixtures import Mixture, find_mixtures
from xas_bluesky.comparison.posterior import Belief, Posterior
from xas_bluesky.comparison.provisional import Baseline, provisional
from xas_bluesky.comparison.regression import mixture_moments

__all__ = [
    "Baseline",
    "Belief",
    "Fit",
    "Gap",
    "Group",
    "Grouping",
    "Groups",
    "Hypotheses",
    "Identification",
    "Mixture",
    "Posterior",
    "Ranked",
    "Reference",
    "find_mixtures",
    "fit_references",
    "grouping",
    "identification",
    "identify",
    "leaders",
    "make_hypotheses",
    "mixture_moments",
    "provisional",
    "rank_references",
    "read_references",
]
