"""The recommender: from what has been measured to the next scan request, or to stop."""

from dataclasses import dataclass

import numpy as np

from xas_bluesky.comparison import (
    Gap,
    Groups,
    Hypotheses,
    Identification,
    compare,
    identification,
    indistinguishable,
    make_hypotheses,
    provisional,
)
from xas_bluesky.decision.information_gain import choose_energies
from xas_bluesky.decision.scan_request import ScanRequest, widest_gaps
from xas_bluesky.decision.stopping import Budget, Spent, over_budget, stop_reason
from xas_bluesky.edges import find_edge
from xas_bluesky.spectra import Absorption, Array, Prediction

SCOUT = (-30.0, -20.0, -12.0, -4.0, 0.0, 3.0, 6.0, 9.0, 12.0, 16.0, 22.0, 30.0, 45.0)
"""Energies (eV from the edge) of the first request: the pre-edge line, the edge step, and a coarse look between."""
QUIET = 0.5
"""A point is measured until its counting noise is this share of the gap's fine error; more would not help."""
QUIETEST = 0.1
"""Share of the points that is taken to have had the usual dwell; the scout's points did."""
SHORTEST = 0.1
"""Shortest dwell, as a share of the conventional one."""
BATCH = 4
"""Points measured between two decisions."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Hold one step's decision: measure `request`, or stop if it is None; `reason` says why."""

    request: ScanRequest | None
    reason: str
    answer: Identification | None


class Recommender:
    """Recommend energies that tell the candidates apart, until sure, or none of them fits, or the budget is spent.

    `conventional` is the scan that would be run without an agent: the energies chosen stay in its range, its dwell is
    the longest used, and its own points are measured while "none of these" leads or predictions are missing.
    `overhead`: seconds that a point costs beside its dwell.
    """

    def __init__(
        self,
        edge: str,
        conventional: ScanRequest,
        *,
        gap: Gap | None = None,
        budget: Budget | None = None,
        overhead: float = 0.5,
    ) -> None:
        self.edge = find_edge(edge)
        self.conventional = conventional
        self.gap = gap or Gap.for_edge(edge)
        self.budget = budget or Budget()
        self.overhead = overhead
        self._known: tuple[Hypotheses, Groups] | None = None

    @property
    def ready(self) -> bool:
        """Say whether predictions are there."""
        return self._known is not None

    def learn(self, prediction: Prediction) -> None:
        """Take predictions in; until then the conventional scan is recommended."""
        hypotheses = make_hypotheses(prediction.spectra, prediction.population, self.gap, self.edge.energy)
        self._known = hypotheses, indistinguishable(hypotheses, self.conventional.energy)

    def scout(self) -> ScanRequest:
        """Return the first request."""
        low, high = self.conventional.energy[0], self.conventional.energy[-1]
        energy = self.edge.energy + np.array(SCOUT)
        energy = energy[(energy >= low) & (energy <= high)]
        whole = ScanRequest(energy, np.full(len(energy), self.conventional.dwell.max()))
        return widest_gaps(whole, [], self.budget.points) or whole

    def decide(self, absorption: Absorption, spent: Spent) -> Decision:
        """Decide the next step from everything measured so far."""
        if self._known is None:
            over = over_budget(spent, self.budget)
            if over is not None:
                return Decision(None, over, None)
            return self._go_on(absorption, spent, "no predictions yet: the conventional scan", None)
        hypotheses, groups = self._known
        normalized = provisional(absorption, self.edge.energy)
        posterior = compare(normalized, hypotheses)
        answer = identification(posterior, groups, hypotheses.names)
        stop = stop_reason(answer, spent, self.budget)
        if stop is not None:
            return Decision(None, stop, answer)
        if posterior.none > answer.groups[0].probability:
            return self._go_on(absorption, spent, "none of these leads: the whole spectrum", answer)
        energy = self._new_cells(normalized)
        if len(energy) == 0:
            return Decision(None, "all energies are measured: the candidates left cannot be told apart", answer)
        # counting noise at the usual dwell, which the quietest points had, sets the dwell that makes it small enough
        usual = float(self.conventional.dwell.max())
        variance = float(np.quantile(normalized.variance, QUIETEST))
        dwell = usual * float(np.clip(variance / (QUIET * self.gap.fine_sd) ** 2, SHORTEST, 1.0))
        noise = np.full(len(energy), variance * usual / dwell)
        seconds = np.full(len(energy), dwell + self.overhead)
        chosen = choose_energies(posterior, hypotheses, groups, energy, noise, seconds, self._left(spent, BATCH))
        return Decision(ScanRequest(chosen, np.full(len(chosen), dwell)), "information gain", answer)

    def _new_cells(self, absorption: Absorption) -> Array:
        """Return a conventional energy in each cell not measured yet: within a cell, theory's fine error is one draw.

        It is the one nearest the cell's middle, so that a readback that differs a little stays in the cell.
        """
        energy, cell = self.conventional.energy, self.gap.cell
        cells = np.floor(energy / cell + 1e-6)
        by_middle = np.lexsort((np.abs(energy - (cells + 0.5) * cell), cells))
        middle = energy[by_middle[np.unique(cells[by_middle], return_index=True)[1]]]
        apart = np.abs(middle[:, None] - absorption.energy).min(axis=1)
        return middle[apart > cell / 2]

    def _go_on(self, absorption: Absorption, spent: Spent, reason: str, answer: Identification | None) -> Decision:
        """Measure on in the conventional scan, where its gaps are widest."""
        lit = np.isfinite(absorption.variance)
        request = widest_gaps(self.conventional, list(absorption.energy[lit]), self._left(spent, 2 * BATCH))
        return Decision(request, reason if request else "the conventional scan is complete", answer)

    def _left(self, spent: Spent, count: int) -> int:
        return min(count, self.budget.points - spent.points)
