"""The posterior: how probable each candidate is, and none of them, given what has been measured so far."""

from dataclasses import dataclass

import numpy as np

from xas_bluesky.comparison.hypotheses import Hypotheses, Index
from xas_bluesky.comparison.provisional import Baseline, difference, in_cells
from xas_bluesky.comparison.regression import Regressions
from xas_bluesky.comparison.screening import Screen
from xas_bluesky.spectra import Absorption, Array

CLOSE = 1500
"""Candidates' hypotheses looked at closely, at most, after a first look at all where there are no more than ALL."""
ALL = 7000
FAR_BEHIND = 9.0
"""Hypotheses so many nats behind the best one are not looked at closely; the screen says when they come back."""
DOUBT = 9.0
"""The screen is trusted to so many nats about a hypothesis that was never looked at closely."""
ROUNDS = 2
"""Closer looks in a row, each at what the one before brought within reach."""
PREPARED = 300
"""Lists no longer than this are made ready to be looked at closely beforehand; of others, so many candidates an update."""
NEW = 12
BLOCK = 64
"""Hypotheses that points are added to at once: what this takes fits in a processor's cache."""
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
    cells of energy, within each of which theory's fine error is one draw. Hypotheses far behind are only screened.
    """

    def __init__(self, hypotheses: Hypotheses) -> None:
        self.hypotheses = hypotheses
        self._named = len(hypotheses.names) * hypotheses.size[1] * hypotheses.size[2]
        self._kinds = hypotheses.possible[hypotheses.possible >= self._named]
        self._screen = Screen(hypotheses)
        of_kinds = np.unique(hypotheses.member(self._kinds))
        few = np.arange(len(hypotheses.names) if len(hypotheses.names) <= PREPARED else 0)
        hypotheses.tables.prepare(np.concatenate([few, of_kinds]))
        self._start(None)

    def _start(self, baseline: Baseline | None) -> None:
        self.baseline = baseline
        self.cells = Absorption(np.zeros(0), np.zeros(0), np.zeros(0))
        self._screen.clear()
        self._close = np.zeros(0, dtype=np.int64)
        self._regressions = Regressions.empty(0, self.hypotheses.tables.rank + 2)
        self._evidence = np.zeros(0)
        self._correction = np.full(len(self.hypotheses.log_prior), np.nan, dtype=np.float32)
        self.log_weight = self.hypotheses.log_prior

    def update(self, absorption: Absorption) -> Posterior:
        """Take in a scan, those points included that were taken in before, and return the posterior.

        Raises SpectrumError when the points cannot settle an edge step.
        """
        baseline = Baseline.fit(absorption, self.hypotheses.structure)
        if self.baseline is None or baseline.differs(self.baseline, MOVED):
            self._start(baseline)
        assert self.baseline is not None  # noqa: S101
        cells = in_cells(self.baseline.normalize(absorption), self.hypotheses.gap.cell)
        changed = difference(self.cells, cells)
        self.cells = cells
        self._screen.add(changed.energy, changed.mu, self._with_fine_error(changed.variance))
        screened = self._screen.log_evidence().reshape(-1).astype(np.float64)
        self._add(self._regressions, self._close, changed)
        self._evidence = self._regressions.log_evidence()
        for _ in range(ROUNDS):
            if not self._look_closely(screened):
                break
        return self._posterior()

    def _look_closely(self, screened: Array) -> bool:
        """Weigh all hypotheses, those within reach closely; say whether there were new ones among these."""
        hypotheses, named = self.hypotheses, self._named
        estimate = self._estimate(screened)
        reach = np.where(np.isnan(self._correction[:named]), FAR_BEHIND + DOUBT, FAR_BEHIND)
        behind = np.max(estimate[:named]) - estimate[:named]
        first_look = len(self._close) == 0
        if first_look and named <= ALL:
            reach[:] = np.inf
        near = np.flatnonzero(behind < reach)
        near = near[np.argsort(behind[near], kind="stable")[: ALL if first_look else CLOSE]]
        near = np.sort(near[hypotheses.tables.within_reach(hypotheses.member(near), NEW)])
        close = np.concatenate([near, self._kinds])
        fresh = np.setdiff1d(close, self._close, assume_unique=True)
        kept = np.isin(self._close, close, assume_unique=True)
        added = Regressions.empty(len(fresh), hypotheses.tables.rank + 2)
        self._add(added, fresh, self.cells)
        self._close = np.concatenate([self._close[kept], fresh])
        self._regressions = self._regressions.select(np.flatnonzero(kept)).join(added)
        self._evidence = evidence = np.concatenate([self._evidence[kept], added.log_evidence()])
        is_candidate = self._close < named
        candidates = self._close[is_candidate]
        self._correction[candidates] = evidence[is_candidate] - screened[candidates]
        self.log_weight = self._estimate(screened)
        self.log_weight[self._close] = hypotheses.log_prior[self._close] + hypotheses.gap.temper * evidence
        return len(fresh) > 0

    def _estimate(self, screened: Array) -> Array:
        """Return the weights (h,) as the screen sees them, put right by what closer looks showed; not of none of these."""
        hypotheses, named = self.hypotheses, self._named
        known = self._correction[self._close[self._close < named]]
        correction = np.nan_to_num(self._correction[:named], nan=float(np.median(known)) if len(known) else 0.0)
        estimate = np.full(len(hypotheses.log_prior), -np.inf)
        estimate[:named] = hypotheses.log_prior[:named] + hypotheses.gap.temper * (screened + correction)
        return estimate

    def _add(self, regressions: Regressions, chosen: Index, cells: Absorption) -> None:
        variance = self._with_fine_error(cells.variance)
        for first in range(0, len(chosen), BLOCK):
            block = slice(first, first + BLOCK)
            mean, features = self.hypotheses.design(cells.energy, chosen[block])
            columns = np.concatenate([features, (cells.mu - mean)[..., None]], axis=-1)
            regressions.select(block).add(columns, variance)

    def _with_fine_error(self, variance: Array) -> Array:
        return variance + np.sign(variance) * self.hypotheses.gap.fine_sd**2

    def leading(self, most: int, share: float) -> tuple[Index, Array]:
        """Return the heaviest hypotheses looked at closely, so many at most, none below a share of the best; their weights."""
        weight = self.log_weight[self._close]
        best = np.argsort(-weight, kind="stable")[:most]
        best = best[weight[best] > weight[best[0]] + np.log(share)]
        return self._close[best], np.exp(weight[best] - weight[best[0]])

    def features(self, chosen: Index) -> tuple[Array, Array]:
        """Return what is known of the features of hypotheses looked at closely: center (h, r) and covariance (h, r, r)."""
        order = np.argsort(self._close)
        return self._regressions.select(order[np.searchsorted(self._close, chosen, sorter=order)]).weights()

    def _posterior(self) -> Posterior:
        hypotheses = self.hypotheses
        weight = np.exp(self.log_weight - self.log_weight.max())
        of_member = weight.reshape(hypotheses.size)
        total = of_member.sum(axis=(1, 2))
        named = len(hypotheses.names)
        at_shift = of_member[:named].sum(axis=1)
        shift = at_shift @ hypotheses.shifts / np.maximum(total[:named], 1e-300)
        return Posterior(total[:named] / total.sum(), float(total[named:].sum() / total.sum()), shift)
