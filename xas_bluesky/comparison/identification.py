"""The answer: candidates ranked, in groups, and none of these."""

from dataclasses import dataclass

import numpy as np

from xas_bluesky.comparison.groups import Groups, grouping
from xas_bluesky.comparison.hypotheses import Hypotheses
from xas_bluesky.comparison.posterior import Belief, Posterior
from xas_bluesky.spectra import Absorption

GROUPED = 60
"""Candidates that are grouped, the most probable ones; each of the others counts alone."""
LISTED = 1000
"""Candidates that an answer lists, the most probable ones."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """Hold one candidate's place: `group` is an index into the groups; `energy_shift` measured − predicted, eV."""

    candidate: str
    probability: float
    group: int
    energy_shift: float


@dataclass(frozen=True, slots=True)
class Group:
    """Hold candidates that their spectra cannot tell apart."""

    members: tuple[str, ...]
    probability: float


@dataclass(frozen=True, slots=True)
class Identification:
    """Hold an answer; `ranking` and `groups` by falling probability; all probabilities and `none_of_these` sum to 1.

    Of more than LISTED candidates, those beyond are left out.
    """

    ranking: tuple[Ranked, ...]
    groups: tuple[Group, ...]
    none_of_these: float


def leaders(posterior: Posterior) -> list[int]:
    """Return the candidates that are grouped, the most probable first."""
    return _most_probable(posterior, GROUPED)


def identification(posterior: Posterior, groups: Groups, names: tuple[str, ...]) -> Identification:
    """Put a posterior into words; candidates that are in none of `groups` count alone."""
    listed = _most_probable(posterior, LISTED)
    grouped = {member for group in groups for member in group}
    every: list[tuple[int, ...]] = [*groups, *((place,) for place in listed if place not in grouped)]
    probability = dict(zip(listed, posterior.probability[listed].tolist(), strict=True))
    found = [Group(tuple([names[m] for m in group]), sum([probability[m] for m in group])) for group in every]
    order = sorted(range(len(found)), key=lambda index: -found[index].probability)
    group_of = {member: place for place, index in enumerate(order) for member in every[index]}
    shift = posterior.shift[listed].tolist()
    ranking = [Ranked(names[m], probability[m], group_of[m], moved) for m, moved in zip(listed, shift, strict=True)]
    return Identification(tuple(ranking), tuple(found[index] for index in order), posterior.none)


def _most_probable(posterior: Posterior, count: int) -> list[int]:
    """Return so many candidates, the most probable first, equal ones in their order."""
    probability = posterior.probability
    if len(probability) > count:
        least = np.partition(probability, -count)[-count]
        probable = np.flatnonzero(probability >= least)
    else:
        probable = np.arange(len(probability))
    return probable[np.argsort(-probability[probable], kind="stable")[:count]].tolist()


def identify(absorption: Absorption, hypotheses: Hypotheses) -> Identification:
    """Identify the sample of a measured scan among the candidates, or none of them."""
    belief = Belief(hypotheses)
    posterior = belief.update(absorption)
    groups = grouping(hypotheses).groups(leaders(posterior), float(np.median(belief.cells.variance)))
    return identification(posterior, groups, hypotheses.names)
