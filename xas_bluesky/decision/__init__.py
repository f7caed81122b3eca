"""Decision: what to measure next, and when to stop."""

from xas_bluesky.decision.recommender import Decision, Recommender
from xas_bluesky.decision.scan_request import ScanRequest, regions, widest_gaps
from xas_bluesky.decision.stopping import Budget, Spent

__all__ = ["Budget", "Decision", "Recommender", "ScanRequest", "Spent", "regions", "widest_gaps"]
