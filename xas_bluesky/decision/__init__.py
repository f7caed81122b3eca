"""Decision: what to measure next, and when to stop."""

from xas_bluesky.decision.anchor import Anchor, anchors_for, sweeps_of
from xas_bluesky.decision.recommender import Decision, Recommender
from xas_bluesky.decision.recovery import Recovered, next_energies, recover
from xas_bluesky.decision.sample_choice import Choice, Prospect, choose_sample
from xas_bluesky.decision.scan_request import ScanRequest, regions, widest_gaps
from xas_bluesky.decision.stability import Stability, correct, judge
from xas_bluesky.decision.stopping import Budget, Spent

__all__ = [
    "Anchor",
    "Budget",
    "Choice",
    "Decision",
    "Prospect",
    "Recommender",
    "Recovered",
    "ScanRequest",
    "Spent",
    "Stability",
    "anchors_for",
    "choose_sample",
    "correct",
    "judge",
    "next_energies",
    "recover",
    "regions",
    "sweeps_of",
    "widest_gaps",
]
