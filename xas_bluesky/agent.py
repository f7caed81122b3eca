"""The agent: decides from the documents collected so far, off the RunEngine's thread, and remembers each decision."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from xas_bluesky.config import Settings
from xas_bluesky.decision import Decision, Recommender, ScanRequest, Spent
from xas_bluesky.decision.anchor import Anchor, sweeps_of
from xas_bluesky.decision.stability import CHANGED, correct, judge
from xas_bluesky.reduction import absorption
from xas_bluesky.results import Inputs
from xas_bluesky.spectra import Absorption, Prediction, Spectrum

ANCHOR_EVERY = 12
"""Points between two readings of the anchors: what they cost is at most one point in six."""
DAMAGE = "radiation damage"
"""What the reason of a decision begins with when the sample changed under the beam, and the flag of its record."""

FIRST_LOOK = "first look"
"""The reason of a run's first request."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """Hold one decision with its time (unix s) and what it was decided from.

    `absorption`: drift between the sweeps is taken out where anchors were measured; `from_theory`: the candidates whose
    spectra had come from first principles by then; `learned`: how many predictions had been taken in, each better than the
    one before it.
    """

    time: float
    decision: Decision
    absorption: Absorption
    spent: Spent
    from_theory: tuple[str, ...] = ()
    learned: int = 0

    @property
    def final(self) -> bool:
        """Say whether it ends a run with an answer."""
        return self.decision.request is None and self.decision.answer is not None


Watch = Callable[[Step], None]
"""Called with each step, on the agent's thread."""


class Measured(Protocol):
    """Say what was measured so far, and by which settings it is reduced: a collector, or several runs of one sample."""

    def spectrum(self) -> Spectrum:
        """Return all points, in time order."""
        ...

    def settings(self) -> Settings:
        """Return the settings of the run."""
        ...


class Refiner(Protocol):
    """Improve predictions while a scan runs."""

    def refined(self, prediction: Prediction) -> Prediction | None:
        """Return the prediction with everything new in it; None where nothing is."""
        ...

    def lead(self, names: Sequence[str]) -> None:
        """Take note of the candidates, the most probable first."""
        ...

    def remarks(self) -> tuple[str, ...]:
        """Say what could not be improved, and why."""
        ...

    def end(self) -> None:
        """Improve no more."""
        ...


class Agent:
    """Join what is measured and a recommender; use it in a `with`, or close it, so that its thread ends.

    `steps`: its decisions; `history`: these, and the first requests and decisions that failed, in the order of time;
    `watches`: called with each decision.

    `prediction`: the predicted spectra, taken in when they are there; `spent`: says what so many points have used;
    `anchor`: energies measured again every now and then, which say how the sweeps drift and whether the sample changes;
    `refiner`: asked for a better prediction before each decision.
    """

    def __init__(
        self,
        measured: Measured,
        recommender: Recommender,
        prediction: "Future[Prediction]",
        spent: Callable[[int], Spent],
        watch: Watch | None = None,
        anchor: Anchor | None = None,
        refiner: Refiner | None = None,
    ) -> None:
        self.steps: list[Step] = []
        self.history: list[Step] = []
        self.errors: list[str] = []
        self.known: Prediction | None = None
        self._prediction = prediction
        self._measured = measured
        self._recommender = recommender
        self._spent = spent
        self.watches: list[Watch] = [watch] if watch else []
        self._anchor = anchor
        self._refiner = refiner
        self._thread = ThreadPoolExecutor(1, "xas-agent")
        self._asked: Future[Decision] | None = None
        self._learned = 0

    def __enter__(self) -> "Agent":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the thread, without waiting for a late decision."""
        if self._refiner:
            self._refiner.end()
        self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def problems(self) -> tuple[str, ...]:
        """Say what did not work."""
        return (*self.errors, *(self._refiner.remarks() if self._refiner else ()))

    def prepare(self) -> "Future[None]":
        """Take the predictions in in the background, so that the first request is made for them."""
        return self._thread.submit(self._learn)

    def scout(self) -> ScanRequest:
        """Return the first request of a run."""
        request = self._recommender.scout()
        if self._anchor:
            request = self._anchored(request, self._recommender.budget.points)
        nothing = Absorption(np.zeros(0), np.zeros(0), np.zeros(0))
        self.history.append(self._step(Decision(request, FIRST_LOOK, None), nothing, self._spent(0)))
        return request

    def ask(self) -> "Future[Decision]":
        """Decide in the background from everything measured so far; while it still decides, wait for that.

        An error is logged and kept in `errors`, and raised by the future; the plan goes on without a decision.
        """
        if self._asked is None or self._asked.done():
            self._asked = self._thread.submit(self._decide)
        return self._asked

    def inputs(self, known: Prediction) -> Inputs:
        """Return what was decided from, up to a prediction that was `known` once."""
        recommender, computed = self._recommender, _from_theory(known)
        return Inputs(
            settings=self._measured.settings(),
            gap=recommender.gap,
            conventional=recommender.conventional,
            budget=recommender.budget,
            cost=recommender.cost,
            anchor=self._anchor,
            population=known.population,
            replaced=self._prediction.result().spectra.chosen(computed) if computed else None,
        )

    def _decide(self) -> Decision:
        try:
            self._learn()
            spectrum = self._measured.spectrum()
            measured = self._steadied(absorption(spectrum, settings=self._measured.settings()), spectrum)
            step = self._decided(measured, self._spent(len(measured)))
        except Exception as error:
            logger.exception("no decision could be made; the conventional scan goes on")
            self.errors.append(f"{type(error).__name__}: {error}")
            raise
        self.steps.append(step)
        if self._refiner and step.decision.answer:
            self._refiner.lead([ranked.candidate for ranked in step.decision.answer.ranking])
        self._show(step)
        return step.decision

    def _decided(self, measured: Absorption, spent: Spent) -> Step:
        try:
            decision = self._next(measured, spent)
        except Exception as error:
            failed = Decision(None, f"failed: {type(error).__name__}: {error}", None)
            self.history.append(self._step(failed, measured, spent))
            raise
        self.history.append(self._step(decision, measured, spent))
        return self.history[-1]

    def _step(self, decision: Decision, measured: Absorption, spent: Spent) -> Step:
        return Step(time.time(), decision, measured, spent, _from_theory(self.known), self._learned)

    def _learn(self) -> None:
        if not self._prediction.done():
            return
        model = self._prediction.result()
        newest = (self._refiner.refined(model) if self._refiner else None) or self.known or model
        if newest is not self.known:
            self._recommender.learn(newest)
            self.known = newest
            self._learned += 1

    def _steadied(self, measured: Absorption, spectrum: Spectrum) -> Absorption:
        """Take the drift between sweeps out, and the sweeps after a change of the sample."""
        if self._anchor is None:
            return measured
        sweep = sweeps_of(measured.energy)
        exposed = np.nancumsum(spectrum.channels.get("dwell", np.ones(len(measured))))
        return correct(measured, sweep, judge(measured, sweep, exposed, self._anchor))

    def _next(self, measured: Absorption, spent: Spent) -> Decision:
        decision = self._recommender.decide(measured, spent)
        if CHANGED in measured.flags:
            return replace(decision, request=None, reason=f"{DAMAGE}: {measured.remarks[-1]}")
        if decision.request is None or self._anchor is None or not _anchors_are_due(measured):
            return decision
        return replace(decision, request=self._anchored(decision.request, self._recommender.budget.points - spent.points))

    def _anchored(self, request: ScanRequest, most: int) -> ScanRequest:
        """Add the anchors, unless these would be more points than are left."""
        assert self._anchor is not None  # noqa: S101
        added = self._anchor.added_to(request)
        return added if len(added) <= most else request

    def _show(self, step: Step) -> None:
        for watch in self.watches:
            try:
                watch(step)
            except Exception:
                logger.exception("a decision could not be shown")


def _from_theory(known: Prediction | None) -> tuple[str, ...]:
    """Name the candidates whose spectra came from first principles."""
    if known is None:
        return ()
    spectra = known.spectra
    return tuple(name for name, source in zip(spectra.candidate, spectra.source, strict=False) if source == "theory")


def _anchors_are_due(measured: Absorption) -> bool:
    """Say whether the last sweep completed another ANCHOR_EVERY points; the first sweep holds the anchors."""
    sweep = sweeps_of(measured.energy)
    begin = int(np.searchsorted(sweep, sweep[-1]))
    return begin > 0 and len(measured) // ANCHOR_EVERY > begin // ANCHOR_EVERY
