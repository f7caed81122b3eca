"""The answer: candidates ranked, in groups, and none of these."""

from dataclasses import dataclass

from xas_bluesky.comparison.groups import Groups, indistinguishable
from xas_bluesky.comparison.hypotheses import Hypotheses
from xas_bluesky.comparison.posterior import Posterior, compare, in_cells, provisional
from xas_bluesky.spectra import Absorption


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
    """Hold an answer; `ranking` and `groups` by falling probability; all probabilities and `none_of_these` sum to 1."""

    ranking: tuple[Ranked, ...]
    groups: tuple[Group, ...]
    none_of_these: float


def identification(posterior: Posterior, groups: Groups, names: tuple[str, ...]) -> Identification:
    """Put a posterior into words."""
    found = [Group(tuple(names[m] for m in group), float(posterior.probability[list(group)].sum())) for group in groups]
    order = sorted(range(len(found)), key=lambda index: -found[index].probability)
    group_of = {member: place for place, index in enumerate(order) for member in groups[index]}
    ranking = [
        Ranked(name, float(posterior.probability[place]), group_of[place], float(posterior.shift[place]))
        for place, name in enumerate(names)
    ]
    return Identification(
        ranking=tuple(sorted(ranking, key=lambda ranked: -ranked.probability)),
        groups=tuple(found[index] for index in order),
        none_of_these=posterior.none,
    )


def identify(absorption: Absorption, hypotheses: Hypotheses) -> Identification:
    """Identify the sample of a measured scan among the candidates, or none of them."""
    normalized = provisional(absorption, hypotheses.edge_energy)
    groups = indistinguishable(hypotheses, in_cells(normalized, hypotheses.gap.cell).energy)
    return identification(compare(normalized, hypotheses), groups, hypotheses.names)
