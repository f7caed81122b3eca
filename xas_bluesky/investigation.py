"""The investigation of one sample: its candidates, runs, decisions, what it has used, and how it is concluded."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import bluesky.preprocessors as bpp
import numpy as np
from bluesky.utils import Msg, MsgGenerator

from xas_bluesky.agent import Agent, Step
from xas_bluesky.candidates import Candidate
from xas_bluesky.config import Settings
from xas_bluesky.decision import Budget, ScanRequest, Spent
from xas_bluesky.documents import Collector
from xas_bluesky.errors import CatalogError, InputError, PredictionError, SettingsError, SpectrumError
from xas_bluesky.outcome import Ending, Outcome
from xas_bluesky.plans import wait_at_most
from xas_bluesky.results import AnalysisRecord, Catalog
from xas_bluesky.results.recovery import KILLED
from xas_bluesky.spectra import Prediction, Spectrum

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
INTERRUPTED = Ending("abort", KILLED)
"""How a run ended that nobody ended."""
Used = Callable[[], tuple[float, float]]
"""Says the seconds and photons used since the devices were made."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Name a sample and what it may be.

    `candidates`: a list, or the path of a file of them; `spot`: where on it is measured; `priority`: the operator's weight
    among several samples, 0 for "only when all others are done"; `slot`: where on the stage it is.
    """

    name: str
    candidates: Sequence[Candidate] | str | Path
    spot: str = ""
    priority: float = 1.0
    budget: Budget | None = None
    slot: int | None = None


class Visits:
    """Collect the runs of one sample into one spectrum: subscribe it to each of them, and to no other."""

    def __init__(self, settings: Settings) -> None:
        self.uids: list[str] = []
        self.pauses: list[float] = []
        self._collector = Collector(settings)
        self._ended: dict[str, Spectrum] = {}

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take one document."""
        self._collector(name, doc)
        if name == "start":
            self.uids.append(doc["uid"])

    def pause(self) -> None:
        """Take note that the RunEngine pauses or suspends: it tells every object of a plan's messages."""
        self.pauses.append(time.time())

    def resume(self) -> None:
        """Do nothing: the RunEngine tells only objects of pauses that can be resumed too."""

    def settings(self) -> Settings:
        """Return the settings of the runs."""
        return self._collector.settings(self.uids[-1] if self.uids else None)

    def spectrum(self) -> Spectrum:
        """Return the points of all runs in time order; raises SpectrumError where there is none."""
        found = [spectrum for uid in self.uids if (spectrum := self._points_of(uid))]
        return _joined(found) if found else self._collector.spectrum(self.uids[-1] if self.uids else None)

    def _points_of(self, uid: str) -> Spectrum | None:
        if uid in self._ended:
            return self._ended[uid]
        try:
            spectrum = self._collector.spectrum(uid)
        except SpectrumError:
            return None  # none yet
        if "exit_status" in spectrum.metadata:
            self._ended[uid] = spectrum  # the collector forgets runs that ended
        return spectrum


def _joined(spectra: Sequence[Spectrum]) -> Spectrum:
    if len(spectra) == 1:
        return spectra[0]
    common = [name for name in spectra[-1].channels if all(name in spectrum.channels for spectrum in spectra)]
    channels = {name: np.concatenate([spectrum.channels[name] for spectrum in spectra]) for name in common}
    return Spectrum(np.concatenate([spectrum.energy for spectrum in spectra]), channels, spectra[-1].metadata)


class Exposure:
    """Count what a sample uses while it is in the beam; `dose`: photons that its spot had before."""

    def __init__(self, used: Used, dose: float, budget: Budget) -> None:
        if math.isnan(used()[1]) and min(budget.photons, budget.dose) < math.inf:
            raise SettingsError(
                "budget: photons are limited, but these devices do not count them; give them a `used` that does"
            )
        self._used, self._dose = used, dose
        self._before = 0.0, 0.0
        self._begun: tuple[float, float] | None = None

    def begin(self) -> None:
        """Count from now on."""
        self._begun = self._used()

    def end(self) -> None:
        """Count no more."""
        self._before, self._begun = self.used, None

    @property
    def used(self) -> tuple[float, float]:
        """Return the seconds and photons so far."""
        if self._begun is None:
            return self._before
        seconds, photons = (
            before + now - then for before, now, then in zip(self._before, self._used(), self._begun, strict=True)
        )
        return seconds, photons

    def spent(self, points: int) -> Spent:
        """Return what was spent with so many points."""
        seconds, photons = self.used
        return Spent(points, seconds, photons, self.dose)

    @property
    def dose(self) -> float:
        """Return the photons that the spot had in all."""
        return self._dose + self.used[1]


@dataclass(slots=True)
class Investigation:
    """Hold all of one sample while it is measured.

    `listed`: the number of its candidates; `usual`: what its conventional scan would use; `request`: what to measure at its
    next visit, None when it is done; `measured`: the energies (eV) asked for so far; `seen`: when it was last in the beam, on
    the clock of the devices; `failure`: why it cannot be measured.
    """

    sample: Sample
    agent: Agent
    visits: Visits
    exposure: Exposure
    prediction: "Future[Prediction]"
    catalog: Catalog
    budget: Budget
    listed: int
    usual: Spent
    seed: int
    request: ScanRequest | None = None
    measured: list[float] = field(default_factory=list[float])
    seen: float = 0.0
    failure: Exception | None = None

    def __post_init__(self) -> None:
        self.agent.watches.append(self._draft)

    def predicted(self, patience: float) -> MsgGenerator[None]:
        """Wait for the predictions, and have the agent take them in; each takes at most `patience` seconds.

        Raises InputError where the candidates cannot be used.
        """
        known = yield from wait_at_most(self.prediction, patience)
        if known and isinstance(error := self.prediction.exception(), InputError):
            raise error
        yield from wait_at_most(self.agent.prepare(), patience)

    def collecting(self, plan: MsgGenerator[Result]) -> MsgGenerator[Result]:
        """Collect the runs of a plan, and take note of its pauses."""

        def noted() -> MsgGenerator[Result]:
            yield Msg("null", self.visits)
            return (yield from plan)

        return bpp.subs_wrapper(noted(), [self.visits])

    def conclude(self, ending: Ending, patience: float) -> Outcome:
        """Answer from everything measured, keep the answer in the catalog, and return it.

        It waits `patience` seconds for predictions, and again for a decision: run it on a thread of its own. Raises
        PredictionError where nothing could be answered.
        """
        try:
            self.exposure.end()
            if not (self.agent.steps and self.agent.steps[-1].final):
                # predictions or decisions were late or failed until the scan was over: one decision from all of it
                wait([self.prediction], patience)
                wait([self.agent.ask()], patience)
            return self._outcome(ending)
        finally:
            self.agent.close()

    def _draft(self, step: Step) -> None:
        """Have the catalog know what is answered so far, for the case that this process is killed."""
        if step.decision.answer is not None:
            self.catalog.draft(self._record(self._so_far(INTERRUPTED)))

    def _record(self, outcome: Outcome) -> AnalysisRecord:
        return outcome.to_record(self.sample.name, self.seed, self.agent.inputs(outcome.prediction))

    def _outcome(self, ending: Ending) -> Outcome:
        outcome = self._so_far(ending)
        try:
            return outcome.kept_as(self.catalog.save(self._record(outcome)))
        except CatalogError:
            logger.exception("run %s: the answer could not be kept in Tiled", outcome.raw_uid)
            return outcome

    def _so_far(self, ending: Ending) -> Outcome:
        """Return what is answered by now, for a run that ended so; raises PredictionError where nothing is."""
        answered = tuple(step for step in self.agent.steps if step.decision.answer is not None)
        if not answered or self.agent.known is None:
            why = "; ".join(dict.fromkeys(self.agent.errors)) or "the predictor did not answer in time"
            raise PredictionError(f"run {', '.join(self.visits.uids)} was measured and kept, but not analysed: {why}")
        last, (first_uid, *revisits) = answered[-1], self.visits.uids
        answer = last.decision.answer
        assert answer is not None  # noqa: S101
        decided = last.decision.reason if last.final else "the conventional scan is complete"
        return Outcome(
            answer=answer,
            spent=last.spent,
            conventional=self.usual,
            stop_reason=decided if last.final else ending.reason or decided,
            raw_uid=first_uid,
            record=None,
            history=tuple(self.agent.history),
            prediction=self.agent.known,
            exit_status=ending.exit_status,
            revisits=tuple(revisits),
            pauses=tuple(self.visits.pauses),
            errors=self.agent.problems,
        )


def conclude_all(works: Sequence[Investigation], ending: Ending, patience: float) -> "Future[tuple[Outcome | Exception, ...]]":
    """Conclude one after another in the background; what failed, or could not be answered, is logged and handed over."""

    def one(work: Investigation) -> Outcome | Exception:
        if work.failure and not work.visits.uids:
            work.agent.close()
            return work.failure
        own = Ending.by(work.failure) if work.failure else ending
        try:
            outcome = work.conclude(own, patience)
        except PredictionError as error:
            logger.error("%s: %s", work.sample.name, error)
            return error
        if own.reason:
            logger.warning("%s: run %s %s; its record is %s", work.sample.name, outcome.raw_uid, own.reason, outcome.record)
        return outcome

    return in_background(lambda: tuple(one(work) for work in works))


def in_background(work: Callable[[], Result]) -> "Future[Result]":
    """Start work on a thread of its own."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)

    Thread(target=run, name="xas-session", daemon=True).start()
    return future
