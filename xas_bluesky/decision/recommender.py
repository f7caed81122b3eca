"""The recommender: from what has been measured to the next scan request, or to stop."""

from dataclasses import dataclass

import numpy as np

from xas_bluesky.comparison import (
    Belief,
    Gap,
    Grouping,
    Identification,
    Posterior,
    grouping,
    identification,
    leaders,
    make_hypotheses,
)
from xas_bluesky.decision.information_gain import Cost, Offer, choose_points
from xas_bluesky.decision.recovery import GOAL_EDGE, GOAL_RMSE, next_energies, recover
from xas_bluesky.decision.scan_request import SAME_POINT, ScanRequest, widest_gaps
from xas_bluesky.decision.stopping import Budget, Spent, over_budget, stop_reason, surely_none
from xas_bluesky.edges import find_edge
from xas_bluesky.spectra import Absorption, Array, Prediction

SCOUT = (-30.0, -20.0, -12.0, -4.0, 0.0, 3.0, 6.0, 9.0, 12.0, 16.0, 22.0, 30.0, 45.0)
"""Energies (eV from the edge) of the first request without predictions: the pre-edge line, the edge step, a look between."""
LOOKS, PER_BIT = 9, 4
"""Energies of the first request where the predicted spectra have their structure: at least, and for each bit that names a
candidate. One dense, quick sweep costs less than two."""
BELOW, ABOVE = (6.0, 1.5), (1.0, 6.0)
"""Those below and above it, eV from its ends."""
SCOUT_DWELL = 0.07
"""Dwell of the first request, as a share of the conventional one."""
CLEAR = 2.0
FAR_APART = 5
"""Points are chosen in every cell to so many eV beyond the structure, farther away in one cell of so many."""
SHORTEST = 0.02
"""Shortest dwell, as a share of the conventional one."""
BATCH = 20
"""Points measured between two decisions, at most."""
FORETOLD = 300
"""Lists of candidates no longer than this are made ready beforehand to be grouped."""
RECOVERED = 4
"""The same while the whole spectrum is recovered."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Hold one step's decision: measure `request`, or stop if it is None; `reason` says why.

    `posterior` is what it was decided on; the request is expected to give `gain` nats about the groups in `seconds`.
    """

    request: ScanRequest | None
    reason: str
    answer: Identification | None
    posterior: Posterior | None = None
    gain: float = 0.0
    seconds: float = 0.0


class Recommender:
    """Recommend energies that tell the candidates apart, until sure, or none of them fits, or the budget is spent.

    `conventional` is the scan that would be run without an agent: the energies chosen stay in its range, its dwell is
    the longest used, and its own points are measured while "none of these" leads or predictions are missing.
    `cost`: seconds that a point costs beside its dwell.
    """

    def __init__(
        self,
        edge: str,
        conventional: ScanRequest,
        *,
        gap: Gap | None = None,
        budget: Budget | None = None,
        cost: Cost | None = None,
    ) -> None:
        self.edge = find_edge(edge)
        self.conventional = conventional
        self.gap = gap or Gap.for_edge(edge)
        self.budget = budget or Budget()
        self.cost = cost or Cost()
        self._belief: Belief | None = None
        self._grouping: Grouping | None = None
        self._reached: float | None = None
        self._asked = np.zeros((2, 0))

    @property
    def ready(self) -> bool:
        """Say whether predictions are there."""
        return self._belief is not None

    def learn(self, prediction: Prediction) -> None:
        """Take predictions in, or better ones; until then the conventional scan is recommended."""
        hypotheses = make_hypotheses(prediction.spectra, prediction.population, self.gap)
        self._belief, self._grouping, self._reached = Belief(hypotheses), grouping(hypotheses), None
        if len(hypotheses.names) <= FORETOLD:
            self._grouping.prepare(range(len(hypotheses.names)))

    def scout(self) -> ScanRequest:
        """Return the first request."""
        if self._belief is None:
            energy = self.edge.energy + np.array(SCOUT)
        else:
            within = self._belief.hypotheses.structure
            bits = np.log2(len(self._belief.hypotheses.names))
            look = np.linspace(within.low, within.high, max(LOOKS, round(PER_BIT * bits)))
            energy = np.concatenate([within.low - np.array(BELOW), look, within.high + np.array(ABOVE)])
        lowest, highest = self.conventional.energy[0], self.conventional.energy[-1]
        energy = np.unique(np.clip(energy, lowest, highest))
        whole = ScanRequest(energy, np.full(len(energy), SCOUT_DWELL * self.conventional.dwell.max()))
        return self._ask(widest_gaps(whole, [], self.budget.points) or whole)

    def decide(self, absorption: Absorption, spent: Spent) -> Decision:
        """Decide the next step from everything measured so far, in the order of time."""
        if self._belief is None or self._grouping is None:
            over = over_budget(spent, self.budget)
            if over is not None:
                return Decision(None, over, None)
            return self._go_on(absorption, spent)
        belief = self._belief
        posterior = belief.update(absorption)
        variance = self._variance_of_a_second(absorption, belief)
        longest = float(self.conventional.dwell.max())
        if self._reached is None:
            self._reached = variance / longest
        groups = self._grouping.groups(leaders(posterior), self._reached)
        answer = identification(posterior, groups, belief.hypotheses.names)
        stop = stop_reason(answer, spent, self.budget)
        if stop is not None:
            return Decision(None, stop, answer, posterior)
        if posterior.none > answer.groups[0].probability:
            return self._recover(absorption, belief, spent, answer, posterior)
        energy = self._new_cells(belief)
        if len(energy) == 0:
            reason = "all energies are measured: the candidates left cannot be told apart"
            return Decision(None, reason, answer, posterior)
        offer = Offer(energy, np.full(len(energy), variance), SHORTEST * longest, longest)
        start = float(absorption.energy[-1])
        batch = choose_points(belief, groups, offer, self.cost, start, self._left(spent, BATCH))
        request = self._ask(ScanRequest(batch.energy, batch.dwell))
        return Decision(request, "information gain", answer, posterior, batch.gain, batch.seconds)

    def _ask(self, request: ScanRequest) -> ScanRequest:
        """Remember which dwells were asked for."""
        self._asked = np.concatenate([self._asked, [request.energy, request.dwell]], axis=1)
        return request

    def _variance_of_a_second(self, absorption: Absorption, belief: Belief) -> float:
        """Return the counting variance of a normalized point of one second, the median; other points had the usual dwell."""
        assert belief.baseline is not None  # noqa: S101
        lit = absorption.usable
        energy, dwell = self._asked
        apart = np.abs(absorption.energy[lit, None] - energy)
        asked = np.where(apart.min(axis=1) < SAME_POINT * 4, dwell[apart.argmin(axis=1)], self.conventional.dwell.max())
        return float(np.median(absorption.variance[lit] * asked)) / belief.baseline.step**2

    def _new_cells(self, belief: Belief) -> Array:
        """Return the middle of each cell not measured yet: within a cell, theory's fine error is one draw.

        They lie in the conventional scan's range; away from the structure of the predicted spectra, one cell in FAR_APART.
        """
        cell, within = self.gap.cell, belief.hypotheses.structure
        low, high = self.conventional.energy[[0, -1]]
        cells = np.arange(np.ceil(low / cell - 0.5), np.floor(high / cell - 0.5) + 1)
        middle = (cells + 0.5) * cell
        inside = (middle > within.low - CLEAR) & (middle < within.high + CLEAR)
        offered = inside | (cells % FAR_APART == 0)
        return middle[offered & ~np.isin(cells, np.floor(belief.cells.energy / cell))]

    def _recover(
        self, absorption: Absorption, belief: Belief, spent: Spent, answer: Identification, posterior: Posterior
    ) -> Decision:
        """Measure what the whole spectrum lacks most, until it is known well enough."""
        assert belief.baseline is not None  # noqa: S101
        normalized = belief.baseline.normalize(absorption)
        none = f"none of these: {posterior.none:.3f}"
        if surely_none(answer):
            found = recover(normalized, self.conventional.energy)
            if found.expected_rmse < GOAL_RMSE and found.edge_std < GOAL_EDGE:
                known = f"{none}, and the whole spectrum is known to {found.expected_rmse:.4f}"
                return Decision(None, known, answer, posterior)
        left = self._left(spent, RECOVERED)
        energy = next_energies(normalized, self.conventional.energy, self.edge.energy, left)
        if len(energy) == 0:
            return Decision(None, f"{none}, and the conventional scan is complete", answer, posterior)
        dwell = np.full(len(energy), self.conventional.dwell.max())
        seconds = float((dwell + self.cost.overhead).sum())
        request = self._ask(ScanRequest(energy, dwell))
        return Decision(request, f"{none} leads: the whole spectrum", answer, posterior, 0.0, seconds)

    def _go_on(self, absorption: Absorption, spent: Spent) -> Decision:
        """Measure on in the conventional scan, where its gaps are widest."""
        lit = absorption.energy[absorption.usable].tolist()
        request = widest_gaps(self.conventional, lit, self._left(spent, BATCH))
        reason = "no predictions yet: the conventional scan" if request else "the conventional scan is complete"
        return Decision(request, reason, None)

    def _left(self, spent: Spent, count: int) -> int:
        return min(count, self.budget.points - spent.points)
