"""The RunEngine, and the catalog that keeps what it measures."""

import os

from bluesky import RunEngine

from xas_bluesky.live import DrawingDuringTask
from xas_bluesky.results import open_catalog

RE = RunEngine({}, during_task=DrawingDuringTask())
catalog = open_catalog(os.environ.get("XAS_BLUESKY_CATALOG", "runs"))
RE.subscribe(catalog.writer())
