"""From Bluesky documents to spectra."""

from xas_bluesky.documents.channels import find_channels
from xas_bluesky.documents.collector import Collector

__all__ = ["Collector", "find_channels"]
