"""Whose spectrum is it? Candidates with their predictions, the truth among them or not, and the posterior's answer."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from xas_bluesky.comparison import Belief, Gap, Groups, grouping, make_hypotheses
from xas_bluesky.comparison.hypotheses import NONE_PRIOR
from xas_bluesky.errors import SpectrumError
from xas_bluesky.spectra import Absorption, Array, PredictedSpectra, Prediction

PER_CANDIDATE = ("mean", "std", "factors", "ionization", "supported", "distance")


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold one answer.

    `named`: the probability of the most probable group of candidates, `size` its members, `right` whether the truth is one
    of them; `first_right`: whether the truth is the most probable candidate; `truth`: the probability of the truth's group (of
    none of these, when it is not on the list); `none`: that of none of these.
    """

    named: float
    size: int
    right: bool
    first_right: bool
    truth: float
    none: float


@dataclass(frozen=True, slots=True)
class Question:
    """Hold candidates as the posterior takes them, in the `groups` that the conventional scan could not tell apart.

    `noise`: the variance of that scan's normalized points; `blank`: what is believed before any of them; `truth`: the index
    of the true candidate, None: it is not on the list.
    """

    prediction: Prediction
    gap: Gap
    noise: float
    blank: Belief
    groups: Groups
    truth: int | None

    @classmethod
    def of(cls, prediction: Prediction, gap: Gap, noise: float, truth: int | None) -> "Question":
        """Lay out the hypotheses."""
        hypotheses = make_hypotheses(prediction.spectra, prediction.population, gap)
        groups = grouping(hypotheses).groups(range(len(prediction.spectra)), noise)
        return cls(prediction, gap, noise, Belief(hypotheses), groups, truth)

    def without_truth(self) -> "Question | None":
        """Take the truth and all that cannot be told from it off the list; None when fewer than two candidates are left."""
        off = {member for group in self.groups if self.truth in group for member in group}
        left = [index for index in range(len(self.prediction.spectra)) if index not in off]
        if len(left) < 2:
            return None
        shorter = replace(self.prediction, spectra=select(self.prediction.spectra, left))
        return Question.of(shorter, self.gap, self.noise, None)

    def belief(self) -> Belief:
        """Return what is believed before anything is measured."""
        return deepcopy(self.blank, {id(self.blank.hypotheses): self.blank.hypotheses})

    def answer(self, belief: Belief, measured: Absorption) -> Answer:
        """Identify the sample; before the edge step is known nothing has been learned."""
        try:
            posterior = belief.update(measured)
        except SpectrumError:
            count = len(self.prediction.spectra)
            return self._judged(np.full(count, (1 - NONE_PRIOR) / count), NONE_PRIOR)
        return self._judged(posterior.probability, posterior.none)

    def _judged(self, probability: Array, none: float) -> Answer:
        of_group = [float(probability[list(group)].sum()) for group in self.groups]
        best = int(np.argmax(of_group))
        truth = next((stated for group, stated in zip(self.groups, of_group, strict=True) if self.truth in group), none)
        return Answer(
            named=of_group[best],
            size=len(self.groups[best]),
            right=self.truth in self.groups[best],
            first_right=self.truth == int(np.argmax(probability)),
            truth=truth,
            none=none,
        )


def select(spectra: PredictedSpectra, chosen: Sequence[int]) -> PredictedSpectra:
    """Return some of the candidates' spectra."""
    arrays: dict[str, Any] = {name: getattr(spectra, name)[list(chosen)] for name in PER_CANDIDATE}
    return replace(spectra, candidate=tuple(spectra.candidate[index] for index in chosen), **arrays)


def plain(answer: Answer) -> dict[str, float]:
    """Return an answer as plain numbers."""
    return {field.name: round(float(getattr(answer, field.name)), 6) for field in fields(answer)}
