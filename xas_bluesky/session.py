"""One beamline's session: devices, predictor and catalog wired into the plans that users run."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

from xas_bluesky.agent import Agent, Watch
from xas_bluesky.beamline import OVERHEAD, Devices, conventional_scan
from xas_bluesky.candidates import Candidate
from xas_bluesky.comparison import Gap
from xas_bluesky.decision import Budget, Recommender, ScanRequest, Spent, anchors_for
from xas_bluesky.edges import Edge, find_edge
from xas_bluesky.escalation import Escalation
from xas_bluesky.files import read_candidates
from xas_bluesky.investigation import Exposure, Investigation, Sample, Visits, conclude_all, in_background
from xas_bluesky.outcome import Ending, Outcome
from xas_bluesky.plans import BeamCare, agent_scan, limits_of, reachable, wait_at_most
from xas_bluesky.plans.adaptive import PATIENCE
from xas_bluesky.predictor_client import PredictorClient
from xas_bluesky.results import Catalog
from xas_bluesky.rounds import GoTo, Rounds

PREDICTION_PATIENCE = 30.0
"""Seconds that a run waits for predictions before it starts with the conventional scan."""
CLOSING_PATIENCE = 5.0
"""Seconds that the end of an interrupted plan is held up, so that its record is written; it is written later otherwise."""

Result = TypeVar("Result")
Prepare = Callable[[Sample], MsgGenerator[Any]]
"""A user's plan that gets the beamline ready for a sample."""


class Session:
    """Run adaptive scans on one beamline, and leave their answers in a catalog.

    `watch` is called with each step of a run, on the agent's thread; `escalation` computes leading candidates from first
    principles meanwhile. `before_sample`: plans, run with each sample when it comes into the beam, as for gains and alignment;
    `after_change_edge`: run with each new edge, as for harmonics and pitch; `go_to`: plans that bring a sample into the beam,
    by name, of which "stage" moves the stage to its slot.
    """

    def __init__(
        self,
        devices: Devices,
        predictor: PredictorClient,
        catalog: Catalog,
        watch: Watch | None = None,
        escalation: Escalation | None = None,
    ) -> None:
        self.devices = devices
        self.predictor = predictor
        self.catalog = catalog
        self.watch = watch
        self.escalation = escalation
        self.dose: dict[tuple[str, str], float] = {}
        self.care = BeamCare.of(devices.shutter, devices.ring_current, devices.settings.beam)
        self.before_sample: list[Prepare] = []
        self.after_change_edge: list[Callable[[Edge], MsgGenerator[Any]]] = []
        self.go_to: dict[str, GoTo] = {} if devices.stage is None else {"stage": self._to_slot}

    def agent_xas(
        self,
        candidates: Sequence[Candidate] | str | Path,
        edge: str,
        sample: str,
        *,
        spot: str = "",
        budget: Budget | None = None,
        md: Mapping[str, Any] | None = None,
        conventional_spent: Spent | None = None,
        seed: int = 0,
        patience: float = PATIENCE,
    ) -> MsgGenerator[Outcome]:
        """Measure where the candidates differ until one group of them, or none, is sure; return the outcome.

        `candidates`: a list, or the path of a file of them; `spot`: where on the sample, its dose adds up over the session's
        runs; `md`: further metadata; `conventional_spent`: what the conventional scan would use, estimated if not given;
        `seed` is written down with the answer; `patience`: seconds to wait for a decision before the conventional scan goes
        on. However the plan ends, its run is closed, and a record says what was answered until then. Raises InputError
        before anything is measured when the candidates, the edge, the limits or the budget cannot be used, and
        PredictionError after the run when no prediction came: the measured spectrum is in the catalog all the same.
        """
        scan = self._conventional(edge)
        known = Sample(sample, candidates, spot, budget=budget)
        work = self.investigation(known, edge, scan, seed, conventional_spent)

        def measuring() -> MsgGenerator[None]:
            yield from work.predicted(PREDICTION_PATIENCE)
            yield from self.prepared(known)
            work.exposure.begin()
            devices = self.devices
            plan = agent_scan(
                devices.energy,
                devices.dwell,
                devices.detectors,
                work.agent,
                scan,
                edge=edge,
                sample=sample,
                settings=devices.settings,
                md={"plan_name": "agent_xas", "spot": spot, **(md or {})},
                patience=patience,
                most=work.budget.points,
                care=self.care,
            )
            yield from work.collecting(plan)

        yield from self._recorded([work], measuring())
        concluding = in_background(partial(work.conclude, Ending(), PREDICTION_PATIENCE))
        yield from wait_at_most(concluding, None)
        return concluding.result()

    def agent_xas_samples(
        self,
        samples: Sequence[Sample],
        edge: str,
        go_to: GoTo,
        *,
        seconds: float = float("inf"),
        md: Mapping[str, Any] | None = None,
        seed: int = 0,
        patience: float = PATIENCE,
    ) -> MsgGenerator[tuple[Outcome | Exception, ...]]:
        """Divide the beam time among samples, or spots of one, each with its own candidates; return what each led to.

        `go_to(sample)`: a plan that brings a sample into the beam; `seconds`: for all of them. Each visit of a sample is a
        sweep in a run of its own; the start documents of all have one `xas_session`. A sample whose candidates cannot be
        predicted, or which cannot be gone to, leaves its error in the place of an outcome, or, once it was measured, a record
        that says so; the others go on. The rest is as for `agent_xas`.
        """
        scan = self._conventional(edge)
        works = [self.investigation(sample, edge, scan, seed) for sample in samples]
        about: dict[str, Any] = {"plan_name": "agent_xas_samples", **(md or {}), "xas_session": str(uuid4())}

        def reach(sample: Sample) -> MsgGenerator[None]:
            yield from go_to(sample)
            yield from self.prepared(sample)

        rounds = Rounds(works, self.devices, reach, scan, edge, about, patience, seconds, PREDICTION_PATIENCE, self.care)
        ending = yield from self._recorded(works, rounds.plan())
        concluding = conclude_all(works, ending, PREDICTION_PATIENCE)
        yield from wait_at_most(concluding, None)
        return concluding.result()

    def prepared(self, sample: Sample) -> MsgGenerator[None]:
        """Run the user's plans for a sample that has come into the beam."""
        for prepare in self.before_sample:
            yield from prepare(sample)

    def _to_slot(self, sample: Sample) -> MsgGenerator[None]:
        assert self.devices.stage is not None  # noqa: S101
        yield from bps.mv(self.devices.stage, sample.slot)

    def _conventional(self, edge: str) -> ScanRequest:
        return reachable(conventional_scan(edge), limits_of(self.devices.energy, self.devices.settings.mono))

    def investigation(
        self, sample: Sample, edge: str, scan: ScanRequest, seed: int, usual: Spent | None = None
    ) -> Investigation:
        """Make what a sample is investigated with; its prediction is under way. Raises InputError for unusable candidates."""
        given, settings = sample.candidates, self.devices.settings
        listed = read_candidates(Path(given)) if isinstance(given, str | Path) else given
        budget = sample.budget or Budget()
        exposure = Exposure(self.devices.used, self.dose.get((sample.name, sample.spot), 0.0), budget)
        anchor = anchors_for(edge, scan) if settings.mono.anchors else None
        shifts = {str(find_edge(name)): (known.shift, known.sd) for name, known in settings.theory_shift.items()}
        gap = Gap.for_edge(edge, shifts.get(str(find_edge(edge))))
        if settings.mode != "auto":
            gap = gap.for_signal(settings.mode)
        visits, recommender = Visits(settings), Recommender(edge, scan, gap=gap, budget=budget)
        refiner = self.escalation.of(listed) if self.escalation else None
        prediction = in_background(lambda: self.predictor.predict(listed, edge))
        return Investigation(
            sample=sample,
            agent=Agent(visits, recommender, prediction, exposure.spent, self.watch, anchor, refiner),
            visits=visits,
            exposure=exposure,
            prediction=prediction,
            catalog=self.catalog,
            budget=budget,
            listed=len(listed),
            usual=usual or Spent(len(scan), float((scan.dwell + OVERHEAD).sum()), float("nan")),
            seed=seed,
        )

    def _recorded(self, works: Sequence[Investigation], plan: MsgGenerator[Result]) -> MsgGenerator[Result]:
        """Have what was answered recorded when the plan is interrupted or fails, and let that go on."""
        try:
            return (yield from plan)
        except BaseException as error:
            begun = [work for work in works if work.visits.uids]
            concluding = conclude_all(begun, Ending.by(error), CLOSING_PATIENCE)
            if not isinstance(error, GeneratorExit):  # halted: nothing may be yielded any more
                yield from wait_at_most(concluding, CLOSING_PATIENCE)
            raise
        finally:
            for work in works:
                self.dose[work.sample.name, work.sample.spot] = work.exposure.dose
                if not work.visits.uids:
                    work.agent.close()
