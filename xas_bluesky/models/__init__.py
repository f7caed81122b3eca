"""Models: networks from graphs to spectra, their ensemble and their weights on disk."""

from xas_bluesky.models.batching import GraphBatch, by_atoms, collate
from xas_bluesky.models.checkpoint import EdgeCard, ModelCard, hash_files, load, save
from xas_bluesky.models.ensemble import EdgeModel, Ensemble, Population
from xas_bluesky.models.error_model import ErrorModel
from xas_bluesky.models.scaling import Scaling, Sites
from xas_bluesky.models.spectrum_gnn import NetworkSettings, SpectrumGNN

__all__ = [
    "EdgeCard",
    "EdgeModel",
    "Ensemble",
    "ErrorModel",
    "GraphBatch",
    "ModelCard",
    "NetworkSettings",
    "Population",
    "Scaling",
    "Sites",
    "SpectrumGNN",
    "by_atoms",
    "collate",
    "hash_files",
    "load",
    "save",
]
