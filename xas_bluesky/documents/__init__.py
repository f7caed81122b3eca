"""From Bluesky documents to spectra."""

from xas_bluesky.documents.channels import edge_of, find_channels
from xas_bluesky.documents.collector import Collector

__all__ = ["Collector", "edge_of", "find_channels"]
