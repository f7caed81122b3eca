"""From detector readings to absorption and normalized spectra; no bluesky, torch or rdkit."""

from xas_bluesky.reduction.absorption import Signal, absorption
from xas_bluesky.reduction.edge_energy import find_e0
from xas_bluesky.reduction.normalization import normalize

__all__ = ["Signal", "absorption", "find_e0", "normalize"]
