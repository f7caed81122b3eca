"""Replay: recompute a record's decisions from its raw runs and what it says was known at each, and compare."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from xas_bluesky.agent import FIRST_LOOK, Agent
from xas_bluesky.config import Settings
from xas_bluesky.decision import Recommender, Spent
from xas_bluesky.errors import InputError, SpectrumError
from xas_bluesky.investigation import Visits
from xas_bluesky.outcome import recorded
from xas_bluesky.results import AnalysisRecord, Catalog, DecisionStep, Inputs
from xas_bluesky.results.inputs import version_here
from xas_bluesky.spectra import Array, PredictedSpectra, Prediction, Spectrum

AXES = ("energy", "dwell")
SAME = 1e-9
"""Numbers (eV, s, probabilities) that differ by no more are the same."""

Documents = Callable[[str], Iterable[tuple[str, Mapping[str, Any]]]]
"""Gives the documents of a run."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Hold where a decision (counted from 0) came out otherwise: `what` of it, as `recorded` and as `replayed`."""

    decision: int
    what: str
    recorded: object
    replayed: object


@dataclass(frozen=True, slots=True)
class Replayed:
    """Hold a record's decisions, and how they came out again."""

    record: AnalysisRecord
    inputs: Inputs
    again: tuple[DecisionStep, ...]

    @property
    def pairs(self) -> list[tuple[DecisionStep, DecisionStep]]:
        """Return each decision as recorded and as replayed."""
        return list(zip(self.record.decisions, self.again, strict=True))

    @property
    def same_choices(self) -> bool:
        """Say whether the same energies and dwells were asked for throughout."""
        return all(
            _apart(getattr(was, axis), getattr(now, axis)).max(initial=0.0) <= SAME for was, now in self.pairs for axis in AXES
        )

    @property
    def largest_difference(self) -> float:
        """Return that of any probability; 1 where there is one in the record or in the replay alone."""
        return max(difference_of(*pair) for pair in self.pairs)

    @property
    def first_difference(self) -> Difference | None:
        """Return the first that counts, None where all is the same."""
        names = (*self.record.predicted.candidate, "none of these")
        found = (one for index, pair in enumerate(self.pairs) for one in _differences(index, *pair, names))
        return next(found, None)

    def to_json(self) -> dict[str, Any]:
        """Return how it compares as plain JSON."""
        first = self.first_difference
        return {
            "raw_uid": self.record.raw_uid,
            "decisions": len(self.again),
            "same_choices": self.same_choices,
            "largest_difference": self.largest_difference,
            "model": self.record.model,
            "version": self.inputs.version,
            "version_here": version_here(),
            "first_difference": asdict(first) if first else None,
        }


def replay_record(catalog: Catalog, key: str) -> Replayed:
    """Replay the decisions of the record called `key`; its runs are in the same catalog.

    Raises CatalogError when the record or a run is not there, and InputError as `replay` does.
    """
    return replay(catalog.load(key), catalog.documents)


def replay(record: AnalysisRecord, documents: Documents) -> Replayed:
    """Have an agent decide again, one decision after the other, from what had been measured and predicted by then.

    Raises InputError for a record from before all was kept that a replay needs, and for runs that hold less than was decided
    from.
    """
    inputs = record.inputs
    if inputs is None:
        raise InputError(
            "the record was written before all that decisions were made from was kept: it can be read, but not replayed; "
            "choose one of a later run"
        )
    if not record.decisions:
        raise InputError("the record holds no decision; there is nothing to replay")
    visits = Visits(inputs.settings)
    for uid in (record.raw_uid, *record.revisits):
        for name, doc in documents(uid):
            visits(name, doc)
        with suppress(SpectrumError):
            visits.spectrum()  # it keeps the points of many runs only when asked for them after each
    then = _AsItWas(record, inputs, visits.spectrum(), visits.settings())
    recommender = Recommender(record.edge, inputs.conventional, gap=inputs.gap, budget=inputs.budget, cost=inputs.cost)
    with Agent(then, recommender, then.prediction, then.spent, anchor=inputs.anchor, refiner=then) as agent:
        for index, step in enumerate(record.decisions):
            then.at(step)
            if step.reason == FIRST_LOOK:
                agent.prepare().result()
                agent.scout()
            else:
                asked = agent.ask()
                wait([asked])
                if len(agent.history) == index:
                    asked.result()  # raises what kept the agent from deciding
        return Replayed(record, inputs, tuple(recorded(step, len(record.predicted)) for step in agent.history))


class _AsItWas:
    """Stand in for all that an agent asks, as it was at the decision `at` which it is.

    The prediction is the model's, and from a decision on that was made from a better one, that one.
    """

    def __init__(self, record: AnalysisRecord, inputs: Inputs, measured: Spectrum, settings: Settings) -> None:
        self.prediction: Future[Prediction] = Future()
        self._spectra, self._inputs = record.predicted, inputs
        self._measured, self._settings = measured, settings
        self._step = record.decisions[0]
        self._learned = 0

    def at(self, step: DecisionStep) -> None:
        """Go on to a decision."""
        self._step = step
        if step.learned and not self.prediction.done():
            self.prediction.set_result(Prediction(self._model_spectra(), self._inputs.population, ()))

    def spectrum(self) -> Spectrum:
        """Return the points that it was made from."""
        count, measured = self.spent(0).points, self._measured
        if count > len(measured):
            raise SpectrumError(f"the raw runs hold {len(measured)} points, but {count} were decided from; are they complete?")
        channels = {name: values[:count] for name, values in measured.channels.items()}
        return Spectrum(measured.energy[:count], channels, measured.metadata)

    def settings(self) -> Settings:
        """Return the settings of the runs."""
        return self._settings

    def spent(self, points: int) -> Spent:  # noqa: ARG002  (these are as many)
        """Return what was spent by then."""
        assert self._step.spent is not None  # noqa: S101
        return self._step.spent

    def refined(self, prediction: Prediction) -> Prediction | None:
        """Return what was predicted by then, None where that was so at the decision before."""
        if self._step.learned == self._learned:
            return None
        self._learned, computed = self._step.learned, self._step.from_theory
        if not computed:
            return prediction
        return replace(prediction, spectra=prediction.spectra.with_rows(self._spectra.chosen(computed)))

    def lead(self, names: Sequence[str]) -> None:
        """Compute nothing."""

    def remarks(self) -> tuple[str, ...]:
        """Remark nothing."""
        return ()

    def end(self) -> None:
        """End nothing."""

    def _model_spectra(self) -> PredictedSpectra:
        replaced = self._inputs.replaced
        if replaced is None:
            return self._spectra
        spectra = self._spectra.with_rows(replaced)
        return replace(spectra, factors=spectra.factors[:, : replaced.factors.shape[1]], source=())


def difference_of(was: DecisionStep, now: DecisionStep) -> float:
    """Return the largest difference of a probability."""
    return float(_apart(_probabilities(was), _probabilities(now)).max())


def _differences(index: int, was: DecisionStep, now: DecisionStep, names: Sequence[str]) -> Iterator[Difference]:
    for axis in AXES:
        before, after = getattr(was, axis), getattr(now, axis)
        if _apart(before, after).max(initial=0.0) > SAME:
            yield Difference(index, axis, list(before), list(after))
    before, after = _probabilities(was), _probabilities(now)
    off = _apart(before, after)
    if off.max() > SAME:
        place = int(off.argmax())
        known = (None if math.isnan(values[place]) else values[place] for values in (before, after))
        yield Difference(index, f"probability of {names[place]}", *known)
    if was.reason != now.reason:
        yield Difference(index, "reason", was.reason, now.reason)


def _probabilities(step: DecisionStep) -> tuple[float, ...]:
    return (*step.posterior, step.none_of_these)


def _apart(first: Sequence[float], second: Sequence[float]) -> Array:
    """Return how far numbers lie apart, 1 where one is missing: it is NaN, or the lists differ in length."""
    if len(first) != len(second):
        return np.ones(1)
    one, other = np.array(first, dtype=np.float64), np.array(second, dtype=np.float64)
    return np.where(np.isnan(one) & np.isnan(other), 0.0, np.nan_to_num(np.abs(one - other), nan=1.0))
