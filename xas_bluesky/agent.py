"""The agent: decides from the documents collected so far, off the RunEngine's thread, and remembers each decision."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from xas_bluesky.decision import Decision, Recommender, ScanRequest, Spent
from xas_bluesky.documents import Collector
from xas_bluesky.reduction import absorption
from xas_bluesky.spectra import Absorption, Prediction

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """Hold one decision with its time (unix s) and what it was decided from."""

    time: float
    decision: Decision
    absorption: Absorption
    spent: Spent

    @property
    def final(self) -> bool:
        """Say whether it ends a run with an answer."""
        return self.decision.request is None and self.decision.answer is not None


Watch = Callable[[Step], None]
"""Called with each step, on the agent's thread."""


class Agent:
    """Join a collector and a recommender; use it in a `with`, so that its thread ends.

    `prediction`: the predicted spectra, taken in when they are there; `spent`: says what the run has used so far.
    """

    def __init__(
        self,
        collector: Collector,
        recommender: Recommender,
        prediction: "Future[Prediction]",
        spent: Callable[[int], Spent],
        watch: Watch | None = None,
    ) -> None:
        self.steps: list[Step] = []
        self.errors: list[str] = []
        self._collector = collector
        self._recommender = recommender
        self._prediction = prediction
        self._spent = spent
        self._watch = watch
        self._thread = ThreadPoolExecutor(1, "xas-agent")
        self._asked: Future[Decision] | None = None

    def __enter__(self) -> "Agent":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)  # the RunEngine does not wait for a late decision

    def scout(self) -> ScanRequest:
        """Return the first request of a run."""
        return self._recommender.scout()

    def ask(self) -> "Future[Decision]":
        """Decide from everything measured so far, on the agent's own thread; while it still decides, wait for that.

        An error is logged and kept in `errors`, and raised by the future; the plan goes on without a decision.
        """
        if self._asked is None or self._asked.done():
            self._asked = self._thread.submit(self._decide)
        return self._asked

    def _decide(self) -> Decision:
        try:
            if not self._recommender.ready and self._prediction.done():
                self._recommender.learn(self._prediction.result())
            measured = absorption(self._collector.spectrum(), settings=self._collector.settings())
            spent = self._spent(len(measured))
            step = Step(time.time(), self._recommender.decide(measured, spent), measured, spent)
        except Exception as error:
            logger.exception("no decision could be made; the conventional scan goes on")
            self.errors.append(f"{type(error).__name__}: {error}")
            raise
        self.steps.append(step)
        self._show(step)
        return step.decision

    def _show(self, step: Step) -> None:
        try:
            if self._watch is not None:
                self._watch(step)
        except Exception:
            logger.exception("a decision could not be shown")
