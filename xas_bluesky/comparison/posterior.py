"""The posterior: how probable each candidate is, and none of them, given what has been measured so far."""

from dataclasses import dataclass, replace

import numpy as np

from xas_bluesky.comparison.hypotheses import NONE_PRIOR, Hypotheses, Index
from xas_bluesky.comparison.outlook import Outlook
from xas_bluesky.comparison.provisional import Baseline, difference, in_cells
from xas_bluesky.comparison.regression import BLOCK, Regressions
from xas_bluesky.comparison.screening import Screen
from xas_bluesky.spectra import Absorption, Array

CLOSE = 1500
"""Candidates' hypotheses looked at closely, at most, after a first look at all where there are no more than ALL."""
ALL = 7000
PREPARED = 1000
"""Lists no longer than this are made ready to be looked at closely beforehand; of others, so many candidates an update."""
NEW = 12
NOTHING = Absorption(np.zeros(0), np.zeros(0), np.zeros(0))
MOVED = 0.03
"""When the provisional normalization has moved by this share of the edge step, everything is compared again."""


@dataclass(frozen=True, slots=True)
class Posterior:
    """Hold the belief after some points.

    `probability` (n,) per candidate; `none` of these; `shift` (n,) each one's expected measured − predicted energy, eV.
    """

    probability: Array
    none: float
    shift: Array


class Belief:
    """Weigh all hypotheses against a scan that grows; new points cost the same however many there were before.

    Scale, offset, slope and the whole gap are marginalized in each hypothesis (a linear-Gaussian model); points are merged in
    cells of energy, within each of which theory's fine error is one draw. Hypotheses far behind are only screened. With the
    gap's `doubt` everything stays as probable as before.
    """

    def __init__(self, hypotheses: Hypotheses) -> None:
        self.hypotheses = hypotheses
        self._named = len(hypotheses.names) * hypotheses.size[1] * hypotheses.size[2]
        self._kinds = hypotheses.possible[hypotheses.possible >= self._named]
        none = float(np.exp(np.logaddexp.reduce(hypotheses.log_prior[self._kinds])))
        self._prior_none = none / (1 - NONE_PRIOR + none)
        self._screen, self._outlook = Screen(hypotheses), Outlook(hypotheses)
        of_kinds = np.unique(hypotheses.member(self._kinds))
        few = np.arange(len(hypotheses.names) if len(hypotheses.names) <= PREPARED else 0)
        hypotheses.tables.prepare(np.concatenate([few, of_kinds]))
        # room for the first look, got here: memory that is new is slow
        self._regressions = Regressions(min(self._named, ALL) + len(self._kinds), hypotheses.tables.rank + 2)
        self._start(None)

    def _start(self, baseline: Baseline | None) -> None:
        self.baseline = baseline
        self.cells = NOTHING
        self._screen.clear()
        self._outlook.doubt()
        self._close = np.zeros(0, dtype=np.int64)
        self._regressions.keep(self._close, 0)
        self._weight = np.zeros(0)

    def update(self, absorption: Absorption) -> Posterior:
        """Take in a scan, those points included that were taken in before, and return the posterior.

        Raises SpectrumError when the points cannot settle an edge step.
        """
        baseline = Baseline.fit(absorption, self.hypotheses.structure)
        everything = self.baseline is None and self._named <= ALL
        if self.baseline is None or baseline.differs(self.baseline, MOVED):
            self._start(baseline)
        assert self.baseline is not None  # noqa: S101
        cells = in_cells(self.baseline.normalize(absorption), self.hypotheses.gap.cell)
        cells = replace(cells, variance=cells.variance + self.hypotheses.fine_error(cells.energy))
        changed = difference(self.cells, cells)
        self.cells = cells
        self._screen.add(changed.energy, changed.mu, changed.variance)
        self._outlook.see(self._screen.log_weight())
        self._look_closely(np.arange(self._named) if everything else self._within_reach(), changed)
        again = self._within_reach()
        if not np.isin(again, self._close).all():
            self._look_closely(again, NOTHING)
        return self._posterior()

    def _within_reach(self) -> Index:
        """Return the candidates' hypotheses to look at closely, increasing."""
        near = self._outlook.nearest(CLOSE if len(self._close) else ALL)
        return np.sort(near[self.hypotheses.tables.within_reach(self.hypotheses.member(near), NEW)])

    def _look_closely(self, near: Index, changed: Absorption) -> None:
        """Weigh some of the candidates' hypotheses, and all of none of these, closely; the cells have changed so before."""
        hypotheses = self.hypotheses
        chosen = np.concatenate([near, self._kinds])
        fresh = np.setdiff1d(chosen, self._close, assume_unique=True)
        kept = np.flatnonzero(np.isin(self._close, chosen, assume_unique=True))
        self._close = np.concatenate([self._close[kept], fresh])
        self._regressions.keep(kept, len(fresh))
        self._add(0, len(kept), changed)
        self._add(len(kept), len(self._close), self.cells)
        # nothing is new about those kept where no cell has changed
        first = len(kept) if len(changed.energy) == 0 else 0
        evidence = self._regressions.log_evidence(first)
        weight = hypotheses.log_prior[self._close[first:]] + hypotheses.gap.temper * evidence
        self._weight = np.concatenate([self._weight[kept[:first]], weight])
        is_candidate = self._close < self._named
        self._outlook.learn(self._close[is_candidate], self._weight[is_candidate])

    def _add(self, first: int, last: int, cells: Absorption) -> None:
        """Add cells to those of the hypotheses looked at closely, block by block."""
        for start in range(first, last if len(cells.energy) else first, BLOCK):
            stop = min(start + BLOCK, last)
            mean, features = self.hypotheses.design(cells.energy, self._close[start:stop])
            columns = np.concatenate([features, (cells.mu - mean)[..., None]], axis=-1)
            self._regressions.add(columns, cells.variance, start)

    @property
    def log_weight(self) -> Array:
        """The log weight of each hypothesis (h,), up to a constant."""
        found = np.full(len(self.hypotheses.log_prior), -np.inf)
        found[: self._named] = self._outlook.log_weight()
        found[self._close] = self._weight
        return found

    def leading(self, most: int, share: float) -> tuple[Index, Array]:
        """Return the heaviest hypotheses looked at closely, so many at most, none below a share of the best; their weights."""
        weight = self._weight
        best = np.argsort(-weight, kind="stable")[:most]
        best = best[weight[best] > weight[best[0]] + np.log(share)]
        return self._close[best], np.exp(weight[best] - weight[best[0]])

    def features(self, chosen: Index) -> tuple[Array, Array]:
        """Return what is known of the features of hypotheses looked at closely: center (h, r) and covariance (h, r, r)."""
        order = np.argsort(self._close)
        return self._regressions.weights(order[np.searchsorted(self._close, chosen, sorter=order)])

    def _posterior(self) -> Posterior:
        best = float(self._weight.max())
        weight, moment = self._outlook.totals(best)
        none = float(np.exp(self._weight[self._close >= self._named] - best).sum())
        total = float(weight.sum()) + none
        doubt = self.hypotheses.gap.doubt
        prior = (1 - self._prior_none) / len(weight)
        return Posterior(
            probability=(1 - doubt) * weight / total + doubt * prior,
            none=(1 - doubt) * none / total + doubt * self._prior_none,
            shift=moment / weight,
        )
