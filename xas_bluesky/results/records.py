"""Analysis records: what was found, how it was decided and from which predictions; their form in Tiled."""

import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from xas_bluesky.comparison import Group, Ranked
from xas_bluesky.edges import find_edge
from xas_bluesky.spectra import PredictedSpectra

if TYPE_CHECKING:
    from tiled.client.container import Container

SPEC = "XASAnalysis"
PREDICTED_ARRAYS = ("energy", "mean", "std", "factors", "ionization", "supported", "distance")
SEARCH_KEYS = ("best_candidate", "best_probability", "probability", "candidates")
"""Metadata that repeats the ranking in a form that Tiled's queries reach."""


@dataclass(frozen=True, slots=True)
class DecisionStep:
    """Hold one decision: the energies (eV) and dwells (s) asked for at `time` (unix s), and why.

    `posterior`: probabilities after the step, in the order of the record's predicted candidates. A stop asks for no
    energies.
    """

    time: float
    energy: tuple[float, ...]
    dwell: tuple[float, ...]
    posterior: tuple[float, ...]
    none_of_these: float
    reason: str


@dataclass(frozen=True, slots=True)
class AnalysisRecord:
    """Hold the answer for one raw run, with what was predicted and decided.

    `ranking` best first; `points`, `seconds` and `photons` spent, each also for the conventional scan of the same
    range; `errors` of the analysis, which the scan outlived; `seed` of the simulated noise; `time` of the answer (unix s).
    """

    raw_uid: str
    sample: str
    ranking: tuple[Ranked, ...]
    groups: tuple[Group, ...]
    none_of_these: float
    stop_reason: str
    seed: int
    points: int
    seconds: float
    photons: float
    points_conventional: int
    seconds_conventional: float
    photons_conventional: float
    decisions: tuple[DecisionStep, ...]
    predicted: PredictedSpectra
    errors: tuple[str, ...] = ()
    time: float = field(default_factory=time.time)

    @property
    def edge(self) -> str:
        """Name the edge, as in "S K"."""
        return str(find_edge(self.predicted.edge))

    @property
    def model(self) -> str:
        """Give the hash of the model's weights."""
        return self.predicted.model


FIGURES = (
    "none_of_these",
    "stop_reason",
    "seed",
    "points",
    "seconds",
    "photons",
    "points_conventional",
    "seconds_conventional",
    "photons_conventional",
    "time",
)


def escape(candidate: str) -> str:
    """Spell a candidate's name as a metadata key, without the characters that have a meaning in Tiled's key paths."""
    return re.sub(r"[^\w \-]", lambda found: f"%{ord(found[0]):x}", candidate)


def to_metadata(record: AnalysisRecord) -> dict[str, Any]:
    """Lay out a record as JSON that Tiled can search."""
    best = max(record.ranking, key=lambda entry: entry.probability)
    return {
        "raw_uid": record.raw_uid,
        "sample": record.sample,
        "edge": record.edge,
        "model": record.model,
        **{name: getattr(record, name) for name in FIGURES},
        "ranking": [asdict(entry) for entry in record.ranking],
        "groups": [{"members": list(group.members), "probability": group.probability} for group in record.groups],
        "errors": list(record.errors),
        "best_candidate": best.candidate,
        "best_probability": best.probability,
        "probability": {escape(entry.candidate): entry.probability for entry in record.ranking},
        "candidates": list(record.predicted.candidate),
    }


def summarize(key: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Give a record's metadata to a reader: plain JSON, with the record's key."""
    return {"record": key, **{name: value for name, value in metadata.items() if name not in SEARCH_KEYS}}


def write_record(analyses: "Container", record: AnalysisRecord) -> str:
    """Write `record` into a new container of `analyses` and return its key.

    Arrays `energy` (m,), `mean` and `std` (n, m), … as in PredictedSpectra and `posterior` (steps, n); tables
    `decisions`, a row a step, and `requested`, a row an energy.
    """
    container = analyses.create_container(metadata=to_metadata(record), specs=[SPEC])
    for name in PREDICTED_ARRAYS:
        container.write_array(getattr(record.predicted, name), key=name)
    steps = record.decisions
    posterior = np.array([step.posterior for step in steps], dtype=np.float64)
    container.write_array(posterior.reshape(len(steps), len(record.predicted)), key="posterior")
    decisions = {name: [getattr(step, name) for step in steps] for name in ("time", "none_of_these", "reason")}
    container.write_table(decisions, key="decisions")
    requested = [
        (index, energy, dwell)
        for index, step in enumerate(steps)
        for energy, dwell in zip(step.energy, step.dwell, strict=True)
    ]
    columns = zip(*requested, strict=True) if requested else ([], [], [])
    table = {name: list(column) for name, column in zip(("step", "energy", "dwell"), columns, strict=True)}
    container.write_table(table, key="requested")
    return container.item["id"]


def read_record(container: "Container") -> AnalysisRecord:
    """Read back what `write_record` wrote."""
    metadata: dict[str, Any] = dict(container.metadata)
    there = [name for name in PREDICTED_ARRAYS if name != "distance" or name in container]
    arrays: dict[str, Any] = {name: container[name].read() for name in there}
    arrays.setdefault("distance", np.full(len(metadata["candidates"]), np.nan))  # the first records had none
    posterior = container["posterior"].read()
    requested = container["requested"].read()
    steps: list[DecisionStep] = []
    for index, row in enumerate(container["decisions"].read().to_dict("records")):
        asked = requested[requested["step"] == index]
        steps.append(
            DecisionStep(
                time=row["time"],
                energy=tuple(asked["energy"].tolist()),
                dwell=tuple(asked["dwell"].tolist()),
                posterior=tuple(posterior[index].tolist()),
                none_of_these=row["none_of_these"],
                reason=row["reason"],
            )
        )
    return AnalysisRecord(
        raw_uid=metadata["raw_uid"],
        sample=metadata["sample"],
        ranking=tuple(Ranked(**entry) for entry in metadata["ranking"]),
        groups=tuple(Group(tuple(group["members"]), group["probability"]) for group in metadata["groups"]),
        decisions=tuple(steps),
        errors=tuple(metadata["errors"]),
        predicted=PredictedSpectra(
            edge=metadata["edge"], candidate=tuple(metadata["candidates"]), model=metadata["model"], **arrays
        ),
        **{name: metadata[name] for name in FIGURES},
    )
