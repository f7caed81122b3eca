"""From detector readings to absorption and normalized spectra; no bluesky, torch or rdkit."""

from xas_bluesky.reduction.absorption import Signal, absorption
from xas_bluesky.reduction.calibration import Calibration, find_shift
from xas_bluesky.reduction.edge_energy import find_e0
from xas_bluesky.reduction.merging import MergedScans, merge
from xas_bluesky.reduction.normalization import normalize
from xas_bluesky.reduction.scan import reduce_scan
from xas_bluesky.reduction.self_absorption import damping

__all__ = [
    "Calibration",
    "MergedScans",
    "Signal",
    "absorption",
    "damping",
    "find_e0",
    "find_shift",
    "merge",
    "normalize",
    "reduce_scan",
]
