"""Models: networks from graphs to spectra, their ensemble and their weights on disk."""

from xas_bluesky.models.batching import collate
from xas_bluesky.models.checkpoint import ModelCard, hash_files, load, save
from xas_bluesky.models.ensemble import Ensemble
from xas_bluesky.models.spectrum_gnn import NetworkSettings, SpectrumGNN

__all__ = ["Ensemble", "ModelCard", "NetworkSettings", "SpectrumGNN", "collate", "hash_files", "load", "save"]
