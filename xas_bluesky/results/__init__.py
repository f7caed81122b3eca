"""What was measured and found, in Tiled: raw runs, and reduced scans and analysis records beside them."""

from xas_bluesky.results.catalog import Catalog, open_catalog
from xas_bluesky.results.found import FoundRecord, Records
from xas_bluesky.results.inputs import Inputs
from xas_bluesky.results.records import AnalysisRecord, DecisionStep
from xas_bluesky.results.searching import search
from xas_bluesky.results.writer import RunWriter

__all__ = [
    "AnalysisRecord",
    "Catalog",
    "DecisionStep",
    "FoundRecord",
    "Inputs",
    "Records",
    "RunWriter",
    "open_catalog",
    "search",
]
