"""How heavy every hypothesis of a candidate is: as the screen sees it, put right by what closer looks showed."""

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.comparison.hypotheses import Hypotheses, Index
from xas_bluesky.spectra import Array

FAR_BEHIND = 9.0
"""Hypotheses so many nats behind the best one are not looked at closely; the screen says when they come back."""
DOUBT = 9.0
"""The screen is trusted to so many nats about a hypothesis that was not looked at closely with the present normalization."""
NO_WEIGHT = -80.0
"""From so many nats behind the best one on all weigh alike: nothing, but enough for a single-precision number."""
BLOCK = 4096
"""Candidates gone through at once."""


class Outlook:
    """Hold the log weights of candidates' hypotheses, up to a constant.

    Those looked at closely are off in the screen by what the last look at each showed, the others as these usually are.
    """

    def __init__(self, hypotheses: Hypotheses) -> None:
        self._hypotheses = hypotheses
        self._others = np.zeros(0, dtype=np.float32)
        self._looked = np.zeros(0, dtype=np.int64)
        self._doubtful = np.zeros(0, dtype=np.bool_)
        self._screened, self._correction = np.zeros((2, 0))
        self._usual = 0.0

    def doubt(self) -> None:
        """Trust what closer looks showed no more than the screen: they were with another normalization."""
        self._doubtful[:] = True

    def see(self, screened: NDArray[np.float32]) -> None:
        """Take in the screen's log weights (h,), which are changed."""
        self._screened = screened[self._looked].astype(np.float64)
        screened[self._looked] = -np.inf
        self._others = screened

    def learn(self, chosen: Index, log_weight: Array) -> None:
        """Take in what a close look at hypotheses (k,) found."""
        new = chosen[np.isfinite(self._others[chosen])]
        looked = np.concatenate([self._looked, new])
        order = np.argsort(looked)
        self._looked = looked[order]
        self._screened = np.concatenate([self._screened, self._others[new]])[order]
        self._correction = np.concatenate([self._correction, np.zeros(len(new))])[order]
        self._others[new] = -np.inf
        self._doubtful = np.concatenate([self._doubtful, np.zeros(len(new), dtype=np.bool_)])[order]
        place = np.searchsorted(self._looked, chosen)
        self._doubtful[place] = False
        self._correction[place] = log_weight - self._screened[place]
        self._usual = float(np.median(self._correction[place]))

    def nearest(self, most: int) -> Index:
        """Return those within reach, the heaviest first, so many at most."""
        looked, usual = self._screened + self._correction, self._usual
        best = max(float(self._others.max()) + usual, float(looked.max(initial=-np.inf)))
        near = np.flatnonzero(looked > best - FAR_BEHIND - self._doubtful * DOUBT)
        never = self._never(best - usual - FAR_BEHIND - DOUBT)
        found = np.concatenate([self._looked[near], never])
        log_weight = np.concatenate([looked[near], self._others[never] + usual])
        if len(found) > most:
            heavy = np.flatnonzero(log_weight >= np.partition(log_weight, -most)[-most])
            found, log_weight = found[heavy], log_weight[heavy]
        return found[np.argsort(-log_weight, kind="stable")][:most]

    def _never(self, level: float) -> Index:
        """Return those never looked at closely that the screen puts above a level."""
        size = BLOCK * len(self._hypotheses.shifts)
        starts = range(0, len(self._others), size)
        return np.concatenate([start + np.flatnonzero(self._others[start : start + size] > level) for start in starts])

    def log_weight(self) -> Array:
        """Return all log weights (h,)."""
        found = self._others.astype(np.float64) + self._usual
        found[self._looked] = self._screened + self._correction
        return found

    def totals(self, best: float) -> tuple[Array, Array]:
        """Return the candidates' weights (n,), relative to a log weight, and the sums of weights times shifts (n,)."""
        _, shapes, shifts = self._hypotheses.size
        others = self._others.reshape(-1, shapes * shifts)
        terms = np.stack([np.ones(shapes * shifts), np.tile(self._hypotheses.shifts, shapes)], axis=-1)
        found = np.empty((len(others), 2))
        for first in range(0, len(others), BLOCK):
            behind = others[first : first + BLOCK] + np.float32(self._usual - best)
            np.exp(np.maximum(behind, NO_WEIGHT, out=behind), out=behind)
            found[first : first + BLOCK] = behind @ terms.astype(np.float32)
        member, place = np.divmod(self._looked, shapes * shifts)
        weight = np.exp(self._screened + self._correction - best)
        for column in range(2):
            found[:, column] += np.bincount(member, weight * terms[place, column], minlength=len(found))
        return found[:, 0], found[:, 1]
