"""Rounds of several samples: where to spend the next minute, one sweep of one sample at a time."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bluesky.utils import MsgGenerator, RunEngineControlException

from xas_bluesky.beamline import OVERHEAD, Devices
from xas_bluesky.decision import Prospect, ScanRequest, choose_sample
from xas_bluesky.errors import InputError
from xas_bluesky.investigation import Investigation, Sample
from xas_bluesky.outcome import Ending
from xas_bluesky.plans import BeamCare, limits_of, next_request, xas_scan

logger = logging.getLogger(__name__)

GoTo = Callable[[Sample], MsgGenerator[Any]]
"""A plan that brings a sample into the beam."""


@dataclass(slots=True)
class Rounds:
    """Visit the samples by turns until each is answered or out of budget, or `seconds` in all are used.

    Each visit is a run of its own. A sample that cannot be predicted or gone to is left out, and the others go on.
    """

    works: Sequence[Investigation]
    devices: Devices
    go_to: GoTo
    scan: ScanRequest
    edge: str
    md: Mapping[str, Any]
    patience: float
    seconds: float
    prediction_patience: float
    care: BeamCare
    _present: Investigation | None = None
    _travel: float = 0.0

    def plan(self) -> MsgGenerator[Ending]:
        """Measure, and return how it ended; what failed with a sample is in its investigation."""
        begin = self._clock()
        for work in self.works:
            work.request, work.seen = work.agent.scout(), begin
        while self._clock() - begin < self.seconds:
            choice = choose_sample([self._prospect(work) for work in self.works])
            if choice is None:
                return Ending()
            logger.info("%s", choice.reason)
            work = self.works[choice.index]
            if (yield from self._reached(work)):
                yield from self._visit(work)
        return Ending(reason=f"budget: the {self.seconds:g} seconds for all samples are spent")

    def _prospect(self, work: Investigation) -> Prospect:
        last = work.agent.steps[-1].decision if work.agent.steps else None
        # nothing is known yet of a sample without an answer: at most which of the candidates it is, or none of them
        gain = last.gain if last and last.answer else math.log(work.listed + 1)
        seconds = float((work.request.dwell + OVERHEAD).sum()) if work.request else 1.0
        return Prospect(
            name=work.sample.name,
            gain=gain,
            seconds=seconds + (0.0 if work is self._present else self._travel),
            priority=work.sample.priority,
            waited=self._clock() - work.seen,
            points=len(work.measured),
            done=work.request is None or work.failure is not None,
        )

    def _reached(self, work: Investigation) -> MsgGenerator[bool]:
        """Have the sample's predictions, and the sample in the beam; say whether there is one."""
        if not work.measured:
            try:
                yield from work.predicted(self.prediction_patience)
            except InputError as error:
                work.failure = error
                return False
            work.request = work.agent.scout()
        if work is self._present:
            return True
        self._present, begin = None, self._clock()
        try:
            yield from self.go_to(work.sample)
        except RunEngineControlException:
            raise
        except Exception as error:
            logger.exception("%s could not be gone to; the other samples go on", work.sample.name)
            work.failure = error
            return False
        self._present, self._travel = work, self._clock() - begin
        return True

    def _visit(self, work: Investigation) -> MsgGenerator[None]:
        """Measure what is asked for in a run of its own, and ask what is next."""
        assert work.request is not None  # noqa: S101
        devices, sample = self.devices, work.sample
        work.exposure.begin()
        sweep = xas_scan(
            devices.energy,
            devices.dwell,
            devices.detectors,
            work.request,
            edge=self.edge,
            sample=sample.name,
            settings=devices.settings,
            md={**self.md, "spot": sample.spot},
            care=self.care,
        )
        yield from work.collecting(sweep)
        work.exposure.end()
        work.seen = self._clock()
        work.measured.extend(work.request.energy)
        limits, most = limits_of(devices.energy, devices.settings.mono), work.budget.points
        work.request = yield from next_request(work.agent, self.scan, work.measured, limits, patience=self.patience, most=most)

    def _clock(self) -> float:
        return self.devices.used()[0]
