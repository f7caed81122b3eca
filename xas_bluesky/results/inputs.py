"""What decisions were made from, beside what was measured: all that a replay of them needs; its form in Tiled."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from xas_bluesky.comparison import Gap
from xas_bluesky.config import Settings
from xas_bluesky.decision import Anchor, Budget, ScanRequest
from xas_bluesky.decision.information_gain import Cost
from xas_bluesky.spectra import PredictedSpectra

if TYPE_CHECKING:
    from tiled.client.container import Container

INPUTS = "inputs"
"""The key of their container in that of the record."""
BESIDE = ("energy", "ionization", "supported", "distance")
"""What is kept beside an array of spectra, in its metadata."""


def version_here() -> str:
    """Return the version of this package."""
    return version("xas-bluesky")


@dataclass(frozen=True, slots=True)
class Inputs:
    """Hold what a run's decisions were made from, beside its points and the candidates' spectra.

    `conventional`, `gap`, `budget`, `cost`: the recommender's; `anchor`: the energies measured again, None without;
    `settings`: by which the points are reduced; `population`: the kinds of spectra of "none of these"; `replaced`: the
    model's spectra of the candidates whose recorded ones came from first principles in the end, None without such;
    `version`: of the package.
    """

    settings: Settings
    gap: Gap
    conventional: ScanRequest
    budget: Budget
    cost: Cost
    anchor: Anchor | None
    population: PredictedSpectra
    replaced: PredictedSpectra | None = None
    version: str = field(default_factory=version_here)


def write_inputs(record: "Container", inputs: Inputs, tags: list[str] | None = None) -> None:
    """Write `inputs` into a container of their own with these access tags, which a search of records does not read.

    Its metadata holds the numbers, null for no limit; the arrays `population` and `replaced` (n, 2 + r, m) hold mean, std
    and factors one below the other, and in their metadata the rest of PredictedSpectra.
    """
    metadata = {
        "version": inputs.version,
        "settings": inputs.settings.model_dump(mode="json", exclude_unset=True),
        "gap": json.loads(inputs.gap.to_json()),
        "conventional": {name: getattr(inputs.conventional, name).tolist() for name in ("energy", "dwell")},
        "budget": _limits(inputs.budget),
        "cost": _limits(inputs.cost),
        "anchor": list(inputs.anchor.energies) if inputs.anchor else None,
    }
    container = record.create_container(INPUTS, metadata=metadata, access_tags=tags)
    for key in ("population", "replaced"):
        spectra: PredictedSpectra | None = getattr(inputs, key)
        if spectra is not None:
            stacked = np.concatenate([spectra.mean[:, None], spectra.std[:, None], spectra.factors], axis=1)
            about = {name: getattr(spectra, name) for name in ("edge", "model", "candidate")}
            about |= {name: [_or_none(value) for value in getattr(spectra, name).tolist()] for name in BESIDE}
            container.write_array(stacked, key=key, metadata=about, access_tags=tags)


def read_inputs(container: "Container") -> Inputs:
    """Read back what `write_inputs` wrote, from the container of the inputs."""
    metadata: dict[str, Any] = dict(container.metadata)
    nodes = dict(container.items())
    return Inputs(
        settings=Settings.read(metadata["settings"], "the record's settings"),
        gap=Gap.from_json(json.dumps(metadata["gap"])),
        conventional=ScanRequest(**metadata["conventional"]),
        budget=Budget(**_unlimited(metadata["budget"])),
        cost=Cost(**_unlimited(metadata["cost"])),
        anchor=Anchor(*metadata["anchor"]) if metadata["anchor"] else None,
        version=metadata["version"],
        population=_read_stacked(nodes["population"]),
        replaced=_read_stacked(nodes["replaced"]) if "replaced" in nodes else None,
    )


def _read_stacked(array: Any) -> PredictedSpectra:
    stacked, about = array.read(), dict(array.metadata)
    energy, ionization, distance = (np.array(about[name], dtype=np.float64) for name in ("energy", "ionization", "distance"))
    return PredictedSpectra(
        edge=about["edge"],
        candidate=tuple(about["candidate"]),
        model=about["model"],
        energy=energy,
        mean=stacked[:, 0],
        std=stacked[:, 1],
        factors=stacked[:, 2:],
        ionization=ionization,
        supported=np.array(about["supported"], dtype=np.bool_),
        distance=distance,
    )


def _or_none(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _limits(value: Budget | Cost) -> dict[str, float | None]:
    return {name: _or_none(number) for name, number in asdict(value).items()}


def _unlimited(limits: Mapping[str, Any]) -> dict[str, Any]:
    return {name: math.inf if number is None else number for name, number in limits.items()}
