"""Figures of merit of predicted spectra against computed ones."""

import numpy as np

from xas_bluesky.spectra import Array


def relative_l1(predicted: Array, computed: Array) -> float:
    """Return the summed absolute error over the summed spectra (n, m)."""
    return float(np.abs(predicted - computed).sum() / np.abs(computed).sum())


def peak_within(predicted: Array, computed: Array, energy: Array, tolerance: float) -> float:
    """Return the share of spectra whose strongest peak lies within `tolerance` (eV) of the computed one."""
    off = energy[predicted.argmax(axis=1)] - energy[computed.argmax(axis=1)]
    return float((np.abs(off) <= tolerance + 1e-9).mean())


def coverage(predicted: Array, std: Array, computed: Array, widths: float) -> float:
    """Return the share of points that lie within `widths` standard deviations."""
    return float((np.abs(predicted - computed) <= widths * std).mean())
