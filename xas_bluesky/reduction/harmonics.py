"""Harmonics of the mono, which thick samples let through as if they were thinner."""

import math

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.spectra import Absorption

SHARE = 0.005
"""Share of the beam taken to be harmonics: a mono with its mirrors or its detuning not quite right."""
TOLERATED = 0.1
"""Share of the transmitted light that may be harmonics."""
BASELINE = 0.05
"""The absorption is counted from this quantile of the scan, not from the lowest point, which may be a bad one."""


def suspect_harmonics(absorption: Absorption) -> NDArray[np.bool_]:
    """Say at which points of a transmission scan harmonics may falsify mu, (n,).

    Harmonics pass the sample all but unabsorbed, so that they make up SHARE·exp(mu) of what is transmitted. The gains of
    i0 and itrans shift mu by an unknown amount, and only its rise above the scan's low values is known to be absorption:
    a point is suspect when that rise alone lets harmonics exceed TOLERATED, from ln(0.1/0.005) = 3.0. What a sample absorbs
    below its edge is not counted: a point that is not flagged may be falsified as well.
    """
    usable = absorption.usable
    if not usable.any():
        return usable
    rise = absorption.mu - np.quantile(absorption.mu[usable], BASELINE)
    return usable & (rise > math.log(TOLERATED / SHARE))
