"""The RunEngine, whose metadata persists, and the catalog that keeps what it measures (docs/plans.md)."""

from xas_bluesky.results import open_catalog
from xas_bluesky.startup import make_engine, say_errors, where_runs_go

say_errors()
RE = make_engine()
catalog = open_catalog(where_runs_go())
RE.subscribe(catalog.writer())
