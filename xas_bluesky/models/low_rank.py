"""Covariances along energy as low rank plus diagonal."""

import numpy as np

from xas_bluesky.spectra import Array


def low_rank(deviations: Array, rank: int) -> tuple[Array, Array]:
    """Return the factors (rank, m) that hold most of the covariance deviationsᵀ·deviations of (n, m), and the rest (m,).

    The rest is the standard deviation, at each energy, that the factors leave. Factors that there are not are zero.
    """
    _, sizes, directions = np.linalg.svd(deviations, full_matrices=False)
    factors = sizes[:rank, None] * directions[:rank]
    left = sizes[rank:, None] * directions[rank:]
    return np.pad(factors, ((0, rank - len(factors)), (0, 0))), np.sqrt((left**2).sum(axis=0))
