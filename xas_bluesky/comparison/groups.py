"""Groups of candidates that their spectra cannot tell apart, whatever is measured."""

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from xas_bluesky.comparison.hypotheses import TELLING, Hypotheses, expected_log_ratio
from xas_bluesky.spectra import Array

Groups = tuple[tuple[int, ...], ...]
"""Indices of candidates, by group."""


def indistinguishable(hypotheses: Hypotheses, energy: Array) -> Groups:
    """Group candidates (indices) whose expected log evidence ratio over a scan of `energy` (n,) eV stays below TELLING.

    Of the two that may be true, the harder case counts. Every two members of a group are indistinguishable (complete
    linkage).
    """
    count = len(hypotheses.names)
    if count == 1:
        return ((0,),)
    ratio = expected_log_ratio(*hypotheses.predictive(energy, np.arange(count)))
    distance = np.maximum(np.minimum(ratio, ratio.T), 0.0)
    np.fill_diagonal(distance, 0.0)
    label = fcluster(linkage(squareform(distance), "complete"), TELLING, "distance")
    return tuple(sorted(tuple(int(member) for member in np.flatnonzero(label == value)) for value in np.unique(label)))
