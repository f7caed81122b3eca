"""One beamline's session: devices, predictor and catalog wired into the plan that users run."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import bluesky.preprocessors as bpp
from bluesky.protocols import Readable
from bluesky.utils import MsgGenerator

from xas_bluesky.agent import Agent, Step, Watch
from xas_bluesky.candidates import Candidate
from xas_bluesky.comparison import Gap, Identification
from xas_bluesky.config import Settings
from xas_bluesky.decision import Budget, Recommender, ScanRequest, Spent, regions
from xas_bluesky.documents import Collector
from xas_bluesky.edges import find_edge
from xas_bluesky.errors import CatalogError, InputError, PredictionError
from xas_bluesky.files import read_candidates
from xas_bluesky.plans import agent_scan, wait_at_most
from xas_bluesky.plans.adaptive import PATIENCE
from xas_bluesky.plans.xas_scan import Axis
from xas_bluesky.predictor_client import PredictorClient
from xas_bluesky.results import AnalysisRecord, Catalog, DecisionStep
from xas_bluesky.spectra import Prediction

BOUNDS = (-30.0, -10.0, 30.0, 45.0)
STEPS = (2.0, 0.2, 1.0)
DWELL = 1.0
"""The conventional scan: regions (eV from the edge), their steps (eV), and seconds a point."""
OVERHEAD = 0.5
"""Seconds of motion and settling that a point is taken to cost."""
PREDICTION_PATIENCE = 30.0
"""Seconds that a run waits for predictions before it starts with the conventional scan."""


logger = logging.getLogger(__name__)

Result = TypeVar("Result")


def wall_clock() -> tuple[float, float]:
    """Say the seconds passed, and that photons are not counted: what real devices `used`."""
    return time.monotonic(), float("nan")


@dataclass(frozen=True, slots=True)
class Devices:
    """Name what a plan moves and reads; `used` says the seconds and photons used since the devices were made."""

    energy: Axis
    dwell: Axis
    detectors: Sequence[Readable[Any]]
    used: Callable[[], tuple[float, float]] = wall_clock
    settings: Settings = Settings()  # noqa: RUF009  (frozen)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold what a run led to; `record` is the key of the analysis record, None if the catalog did not take it."""

    answer: Identification
    spent: Spent
    conventional: Spent
    stop_reason: str
    raw_uid: str
    record: str | None
    steps: tuple[Step, ...]
    prediction: Prediction

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as plain JSON; photons that nobody counts are null."""
        used = {**asdict(self.spent), **{f"{name}_conventional": value for name, value in asdict(self.conventional).items()}}
        return {
            **asdict(self.answer),
            **{name: value if math.isfinite(value) else None for name, value in used.items()},
            "stop_reason": self.stop_reason,
            "raw_uid": self.raw_uid,
            "record": self.record,
            "warnings": [*warnings_of(self.prediction), *Gap.doubts(self.prediction.spectra.edge)],
        }


def conventional_scan(edge: str) -> ScanRequest:
    """Return the conventional scan around an edge."""
    return regions(find_edge(edge).energy, BOUNDS, STEPS, DWELL)


def warnings_of(prediction: Prediction) -> list[str]:
    """Say which candidates could not be predicted, and which lie outside what the model was trained on."""
    spectra = prediction.spectra
    outside = [name for name, known in zip(spectra.candidate, spectra.supported, strict=True) if not known]
    wide = [
        f"candidate {name!r}: an element or the surroundings of its absorber are new to the model; its band is wide"
        for name in outside
    ]
    return [*prediction.rejected, *wide]


class Session:
    """Run adaptive scans on one beamline, and leave their answers in a catalog.

    `watch` is called with each step of a run, on the agent's thread.
    """

    def __init__(self, devices: Devices, predictor: PredictorClient, catalog: Catalog, watch: Watch | None = None) -> None:
        self.devices = devices
        self.predictor = predictor
        self.catalog = catalog
        self.watch = watch

    def agent_xas(
        self,
        candidates: Sequence[Candidate] | str | Path,
        edge: str,
        sample: str,
        *,
        budget: Budget | None = None,
        conventional_spent: Spent | None = None,
        seed: int = 0,
        patience: float = PATIENCE,
    ) -> MsgGenerator[Outcome]:
        """Measure where the candidates differ until one group of them, or none, is sure; return the outcome.

        `candidates`: a list, or the path of a .csv or .smi file; `conventional_spent`: what the conventional scan would
        use, estimated if not given; `seed` is written down with the answer; `patience`: seconds to wait for a decision
        before the conventional scan goes on. Raises InputError before anything is measured when the candidates or the
        edge cannot be used, and PredictionError after the run when no prediction came: the measured spectrum is in the
        catalog all the same.
        """
        scan = conventional_scan(edge)
        budget = budget or Budget()
        listed = read_candidates(Path(candidates)) if isinstance(candidates, str | Path) else candidates
        prediction = in_background(lambda: self.predictor.predict(listed, edge))
        if (yield from wait_at_most(prediction, PREDICTION_PATIENCE)) and isinstance(prediction.exception(), InputError):
            prediction.result()
        collector = Collector(self.devices.settings)
        before = self.devices.used()

        def spent(points: int) -> Spent:
            seconds, photons = (now - then for now, then in zip(self.devices.used(), before, strict=True))
            return Spent(points, seconds, photons)

        recommender = Recommender(edge, scan, budget=budget, overhead=OVERHEAD)
        with Agent(collector, recommender, prediction, spent, self.watch) as agent:
            plan = agent_scan(
                self.devices.energy,
                self.devices.dwell,
                self.devices.detectors,
                agent,
                scan,
                edge=edge,
                sample=sample,
                settings=self.devices.settings,
                patience=patience,
                most=budget.points,
            )
            raw_uid = yield from bpp.subs_wrapper(plan, [collector])
            if not (agent.steps and agent.steps[-1].final):
                # predictions or decisions were late or failed until the scan was over: one decision from all of it
                yield from wait_at_most(prediction, PREDICTION_PATIENCE)
                yield from wait_at_most(agent.ask(), PREDICTION_PATIENCE)
        usual = conventional_spent or Spent(len(scan), float((scan.dwell + OVERHEAD).sum()), float("nan"))
        finishing = in_background(lambda: self._finish(agent, prediction, raw_uid, sample, usual, seed))
        yield from wait_at_most(finishing, None)
        return finishing.result()

    def _finish(
        self, agent: Agent, prediction: "Future[Prediction]", raw_uid: str, sample: str, usual: Spent, seed: int
    ) -> Outcome:
        answered = [step for step in agent.steps if step.decision.answer is not None]
        if not answered:
            why = "; ".join(dict.fromkeys(agent.errors)) or "the predictor did not answer in time"
            raise PredictionError(f"run {raw_uid} was measured and kept, but not analysed: {why}")
        last = answered[-1]
        answer = last.decision.answer
        assert answer is not None  # noqa: S101
        stop_reason = last.decision.reason if last.final else "the conventional scan is complete"
        record = AnalysisRecord(
            raw_uid=raw_uid,
            sample=sample,
            ranking=answer.ranking,
            groups=answer.groups,
            none_of_these=answer.none_of_these,
            stop_reason=stop_reason,
            seed=seed,
            **asdict(last.spent),
            **{f"{name}_conventional": value for name, value in asdict(usual).items()},
            decisions=tuple(_to_record(step, prediction.result().spectra.candidate) for step in answered),
            predicted=prediction.result().spectra,
            errors=tuple(agent.errors),
        )
        try:
            key = self.catalog.save(record)
        except CatalogError:
            logger.exception("run %s: the answer could not be kept", raw_uid)
            key = None
        return Outcome(answer, last.spent, usual, stop_reason, raw_uid, key, tuple(answered), prediction.result())


def _to_record(step: Step, candidates: Sequence[str]) -> DecisionStep:
    answer, request = step.decision.answer, step.decision.request
    assert answer is not None  # noqa: S101
    probability = {ranked.candidate: ranked.probability for ranked in answer.ranking}
    return DecisionStep(
        time=step.time,
        energy=tuple(request.energy.tolist()) if request else (),
        dwell=tuple(request.dwell.tolist()) if request else (),
        posterior=tuple(probability[name] for name in candidates),
        none_of_these=answer.none_of_these,
        reason=step.decision.reason,
    )


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
