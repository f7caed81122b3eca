"""What a measurement by the agent led to, and its form in the catalog."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from bluesky.utils import RequestAbort, RequestStop

from xas_bluesky.agent import DAMAGE, Step
from xas_bluesky.comparison import Gap, Identification
from xas_bluesky.decision import Spent
from xas_bluesky.decision.stability import CHANGED
from xas_bluesky.results import AnalysisRecord, DecisionStep, Inputs
from xas_bluesky.spectra import Prediction


@dataclass(frozen=True, slots=True)
class Ending:
    """Say how a plan ended: `exit_status` as in its run's stop document, and why if not by itself."""

    exit_status: str = "success"
    reason: str = ""

    @classmethod
    def by(cls, error: BaseException) -> "Ending":
        """Return the ending that an exception in the plan means."""
        if isinstance(error, RequestStop):
            return cls("success", "interrupted: stopped by the user")
        if isinstance(error, RequestAbort):
            return cls("abort", "interrupted: aborted by the user")
        if isinstance(error, GeneratorExit):
            return cls("abort", "interrupted: halted by the user")
        return cls("fail", f"interrupted: {type(error).__name__}: {error}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold what a measurement led to; `record` is the key of the analysis record, None if the catalog did not take it.

    `raw_uid`: of the run; `revisits`: of the later runs, where the sample was visited several times; `history`: every
    decision; `exit_status`: as in the last run's stop document; `pauses`: when it was paused or suspended (unix s);
    `errors`: of the analysis.
    """

    answer: Identification
    spent: Spent
    conventional: Spent
    stop_reason: str
    raw_uid: str
    record: str | None
    history: tuple[Step, ...]
    prediction: Prediction
    exit_status: str = "success"
    revisits: tuple[str, ...] = ()
    pauses: tuple[float, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return the decisions with an answer."""
        return tuple(step for step in self.history if step.decision.answer is not None)

    @property
    def warnings(self) -> list[str]:
        """Say what the answer is to be taken with."""
        return [*warnings_of(self.prediction), *Gap.doubts(self.prediction.spectra.edge)]

    @property
    def flags(self) -> tuple[str, ...]:
        """Name what was noticed about the sample."""
        return (DAMAGE,) if CHANGED in self.steps[-1].absorption.flags else ()

    def kept_as(self, record: str) -> Self:
        """Return the outcome with the key of its record."""
        return replace(self, record=record)

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as plain JSON; photons that nobody counts are null."""
        used = {**asdict(self.spent), **{f"{name}_conventional": value for name, value in asdict(self.conventional).items()}}
        return {
            **asdict(self.answer),
            **{name: value if math.isfinite(value) else None for name, value in used.items()},
            "stop_reason": self.stop_reason,
            "exit_status": self.exit_status,
            "flags": list(self.flags),
            "raw_uid": self.raw_uid,
            "revisits": list(self.revisits),
            "record": self.record,
            "warnings": self.warnings,
        }

    def to_record(self, sample: str, seed: int, inputs: Inputs) -> AnalysisRecord:
        """Return the outcome as the catalog keeps it, with what was decided from."""
        return AnalysisRecord(
            raw_uid=self.raw_uid,
            revisits=self.revisits,
            sample=sample,
            ranking=self.answer.ranking,
            groups=self.answer.groups,
            none_of_these=self.answer.none_of_these,
            stop_reason=self.stop_reason,
            exit_status=self.exit_status,
            flags=self.flags,
            pauses=self.pauses,
            seed=seed,
            **asdict(self.spent),
            points_conventional=self.conventional.points,
            seconds_conventional=self.conventional.seconds,
            photons_conventional=self.conventional.photons,
            decisions=tuple(recorded(step, len(self.prediction.spectra)) for step in self.history),
            predicted=self.prediction.spectra,
            errors=self.errors,
            warnings=tuple(self.warnings),
            inputs=inputs,
            measured=self.steps[-1].absorption,
        )


def recorded(step: Step, candidates: int) -> DecisionStep:
    """Return a decision about so many candidates as the catalog keeps it."""
    decision, request = step.decision, step.decision.request
    posterior = decision.posterior
    return DecisionStep(
        time=step.time,
        energy=tuple(request.energy.tolist()) if request else (),
        dwell=tuple(request.dwell.tolist()) if request else (),
        posterior=tuple(posterior.probability.tolist()) if posterior else (math.nan,) * candidates,
        none_of_these=posterior.none if posterior else math.nan,
        reason=decision.reason,
        spent=step.spent,
        from_theory=step.from_theory,
        gain=decision.gain,
        expected=decision.seconds,
        learned=step.learned,
    )


def warnings_of(prediction: Prediction) -> list[str]:
    """Say which candidates could not be predicted, and which lie outside what the model was trained on."""
    spectra = prediction.spectra
    outside = [name for name, known in zip(spectra.candidate, spectra.supported, strict=True) if not known]
    wide = [
        f"candidate {name!r}: an element or the surroundings of its absorber are new to the model; its band is wide"
        for name in outside
    ]
    return [*prediction.rejected, *wide]
