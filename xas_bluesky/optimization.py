"""The same decisions behind the protocols of bluesky-adaptive 1.x: `RE(optimize(problem, iterations=None))`.

Each of its iterations is a sweep: the optimizer suggests the points of a scan request, the acquisition plan measures them
in mono order in a run of their own and has the agent decide, and the evaluation gives each point its absorption.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import wait
from typing import Any
from uuid import uuid4

import bluesky.preprocessors as bpp
import numpy as np
from bluesky.utils import MsgGenerator
from bluesky_adaptive.protocols import ID_KEY, OptimizationProblem

from xas_bluesky.beamline import conventional_scan
from xas_bluesky.comparison import Identification
from xas_bluesky.decision import ScanRequest
from xas_bluesky.documents import Collector
from xas_bluesky.errors import InputError, SpectrumError
from xas_bluesky.investigation import Investigation, Sample
from xas_bluesky.outcome import Ending, Outcome
from xas_bluesky.plans import limits_of, next_request, reachable, xas_scan
from xas_bluesky.plans.adaptive import PATIENCE
from xas_bluesky.reduction import absorption
from xas_bluesky.session import PREDICTION_PATIENCE, Session

SWEEP = "xas_sweep"
"""The plan name and the run key of a sweep: its run is nested in that of `optimize`."""

Point = Mapping[str, Any]
"""A suggestion or an outcome, as bluesky-adaptive hands them around."""


class SweepOptimizer:
    """Suggest sweep after sweep until the agent says stop: an Optimizer that SupportsStoppingCriteria.

    `energy`, `dwell`: the names of the actuators, which the suggestions have as keys.
    """

    def __init__(self, work: Investigation, energy: str, dwell: str) -> None:
        self._work = work
        self._energy, self._dwell = energy, dwell
        self._suggested = 0
        self._outcome: Outcome | None = None

    def suggest(self, num_points: int | None = None) -> list[Point]:  # noqa: ARG002  (the protocol's)
        """Return the points of the next sweep in mono order, none once it is over; how many is the agent's decision."""
        request = self._work.request
        if request is None:
            return []
        first, self._suggested = self._suggested, self._suggested + len(request)
        numbered = enumerate(zip(request.energy.tolist(), request.dwell.tolist(), strict=True), first)
        # the identifiers sort as text too: `optimize` records the points in that order
        return [{ID_KEY: f"{number:06d}", self._energy: at, self._dwell: seconds} for number, (at, seconds) in numbered]

    def ingest(self, points: Sequence[Point]) -> None:
        """Check that these points were measured by SweepAcquisition: the agent has them then, and has decided.

        Raises InputError for others, which it could not use.
        """
        if not points:
            return
        have = {repr(at) for at in self._work.visits.spectrum().energy.tolist()}
        if not all(repr(point.get("measured_energy")) in have for point in points):
            raise InputError("outcomes of other measurements cannot be ingested; measure their energies by SweepAcquisition")

    def should_stop(self) -> tuple[bool, str | None]:
        """Say whether it is over, and why."""
        if self._work.request is not None:
            return False, None
        steps = self._work.agent.steps
        return True, steps[-1].decision.reason if steps and steps[-1].final else "the conventional scan is complete"

    def get_best_points(self) -> list[tuple[str, Point, Point]]:
        """Return the leading group of candidates with its probability; no energy is best, so there are no parameters."""
        if self.answer is None:
            return []
        best = self.answer.groups[0]
        found = {"probability": best.probability, "none_of_these": self.answer.none_of_these}
        return [(", ".join(best.members), {}, found)]

    @property
    def answer(self) -> Identification | None:
        """Return the latest identification, None while there were no predictions."""
        return next((step.decision.answer for step in reversed(self._work.agent.steps) if step.decision.answer), None)

    def conclude(self) -> Outcome:
        """End it: answer from everything measured, keep the answer in the catalog, and return it.

        Raises PredictionError where nothing could be answered.
        """
        self._work.request = None
        self._outcome = self._outcome or self._work.conclude(Ending(), PREDICTION_PATIENCE)
        return self._outcome


class SweepAcquisition:
    """Measure the suggestions in one run, in mono order, and ask what is next: an AcquisitionPlan.

    The decision is awaited here, as the RunEngine can only wait in a plan. Called with the mono and the dwell as
    `actuators`. `collector` is subscribed to the run while it lasts.
    """

    def __init__(
        self, session: Session, work: Investigation, scan: ScanRequest, edge: str, collector: Collector, patience: float
    ) -> None:
        self._session, self._work = session, work
        self._scan, self._edge = scan, edge
        self._collector = collector
        self._patience = patience
        self._id = str(uuid4())

    def __call__(
        self,
        suggestions: Sequence[Point],
        actuators: Sequence[Any],
        sensors: Sequence[Any] | None = None,
        md: Mapping[str, Any] | None = None,
    ) -> MsgGenerator[str]:
        """Return the uid of the run, which is empty where nothing was suggested."""
        if not suggestions:
            return ""
        work, settings = self._work, self._session.devices.settings
        energy, dwell = actuators
        if not work.visits.uids:
            yield from self._session.prepared(work.sample)
        swept = _in_mono_order(suggestions, energy.name)
        request = ScanRequest(*(np.array([point[axis.name] for point in swept]) for axis in (energy, dwell)))
        about = {
            "plan_name": SWEEP,
            "run_key": SWEEP,
            "xas_session": self._id,
            "spot": work.sample.spot,
            "blop_acquisition_order": [point[ID_KEY] for point in swept],  # as bluesky-adaptive's own plan calls it
        }
        sweep = xas_scan(
            energy,
            dwell,
            sensors or (),
            request,
            edge=self._edge,
            sample=work.sample.name,
            settings=settings,
            md={**(md or {}), **about},
            care=self._session.care,
        )
        work.exposure.begin()
        try:
            plan = work.collecting(bpp.subs_wrapper(sweep, [self._collector]))
            uid = yield from bpp.set_run_key_wrapper(plan, SWEEP)
        finally:
            work.exposure.end()
            spot = work.sample.name, work.sample.spot
            self._session.dose[spot] = work.exposure.dose
        work.measured.extend(request.energy)
        limits, most = limits_of(energy, settings.mono), work.budget.points
        work.request = yield from next_request(
            work.agent, self._scan, work.measured, limits, patience=self._patience, most=most
        )
        return uid


class SweepEvaluation:
    """Read a sweep's points back from the collector that received them: an EvaluationFunction.

    `energy`: the mono's name. The collector's copy is complete as soon as the run is; a catalog's may still be on its way.
    """

    def __init__(self, collector: Collector, energy: str) -> None:
        self._collector = collector
        self._energy = energy

    def __call__(self, uid: str, suggestions: Sequence[Point]) -> list[Point]:
        """Return each suggestion's energy as measured (eV), raw absorption `mu`, and its variance.

        The variance is what this sweep by itself says: infinite where a point weighs nothing, and where its noise is not
        declared and the points are too few. Raises SpectrumError when the run has not one point for each suggestion.
        """
        if not suggestions:
            return []
        spectrum = self._collector.spectrum(uid)
        if len(spectrum) != len(suggestions):
            count = f"got {len(spectrum)} points, expected {len(suggestions)}, one per suggestion"
            raise SpectrumError(f"run {uid}: {count}; measure them again")
        found = absorption(spectrum, settings=self._collector.settings(uid))
        rows = zip(found.energy.tolist(), found.mu.tolist(), found.variance.tolist(), strict=True)
        return [
            {ID_KEY: point[ID_KEY], "measured_energy": at, "mu": mu, "mu_variance": variance}
            for point, (at, mu, variance) in zip(_in_mono_order(suggestions, self._energy), rows, strict=True)
        ]


def _in_mono_order(suggestions: Sequence[Point], energy: str) -> list[Point]:
    return sorted(suggestions, key=lambda point: point[energy])


def identification_problem(
    session: Session, sample: Sample, edge: str, *, seed: int = 0, patience: float = PATIENCE
) -> OptimizationProblem[str]:
    """Return the identification of a sample as a problem that bluesky-adaptive's `optimize` solves.

    Afterwards `problem.optimizer.answer` is the identification, and `problem.optimizer.conclude()` keeps it. `seed` and
    `patience` are as for `Session.agent_xas`. Waits for the predictions; raises InputError when the candidates, the edge,
    the limits or the budget cannot be used.
    """
    devices = session.devices
    scan = reachable(conventional_scan(edge), limits_of(devices.energy, devices.settings.mono))
    work = session.investigation(sample, edge, scan, seed)
    if wait([work.prediction], PREDICTION_PATIENCE).done:
        if isinstance(error := work.prediction.exception(), InputError):
            work.agent.close()
            raise error
        wait([work.agent.prepare()], PREDICTION_PATIENCE)
    work.request = work.agent.scout()
    collector, energy = Collector(devices.settings), devices.energy.name
    return OptimizationProblem(
        optimizer=SweepOptimizer(work, energy, devices.dwell.name),
        actuators=[devices.energy, devices.dwell],
        sensors=list(devices.detectors),
        evaluation_function=SweepEvaluation(collector, energy),
        acquisition_plan=SweepAcquisition(session, work, scan, edge, collector, patience),
    )
