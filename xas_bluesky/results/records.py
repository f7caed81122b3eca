"""Analysis records: what was found, how it was decided and from which predictions; their form in Tiled."""

import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from xas_bluesky.comparison import Group, Ranked
from xas_bluesky.decision import Spent
from xas_bluesky.edges import find_edge
from xas_bluesky.results.inputs import INPUTS, Inputs, read_inputs, write_inputs
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

    `posterior`: probabilities after the step, in the order of the record's predicted candidates; these and `none_of_these`
    are NaN of a first request, and while there were no predictions. A stop, and a decision that failed, ask for no energies.
    `spent` by then, its points those that were decided from; None in a record from before this was kept. `from_theory`: the
    candidates whose spectra had come from first principles by then. `gain` (nats about the groups) and `expected` (s): what
    the request was thought to give and take. `learned`: how many predictions had been taken in.
    """

    time: float
    energy: tuple[float, ...]
    dwell: tuple[float, ...]
    posterior: tuple[float, ...]
    none_of_these: float
    reason: str
    spent: Spent | None = None
    from_theory: tuple[str, ...] = ()
    gain: float = 0.0
    expected: float = 0.0
    learned: int = 0


@dataclass(frozen=True, slots=True)
class AnalysisRecord:
    """Hold the answer for one raw run, with what was predicted and decided.

    `ranking` best first; `points`, `seconds` and `photons` spent, each also for the conventional scan of the same
    range; `errors` of the analysis, which the scan outlived; `seed` of the simulated noise; `time` of the answer (unix s).
    `exit_status`: success, abort or fail, as in the run's stop document; `flags`: what was noticed about the sample, as
    "radiation damage"; `dose`: photons on the spot; `revisits`: the uids of the sample's later runs; `pauses`: when it was
    paused or suspended (unix s); `warnings`: what the answer is to be taken with; `inputs`: what else was decided from, None
    in a record from before this was kept.
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
    exit_status: str = "success"
    flags: tuple[str, ...] = ()
    dose: float = float("nan")
    revisits: tuple[str, ...] = ()
    pauses: tuple[float, ...] = ()
    warnings: tuple[str, ...] = ()
    inputs: Inputs | None = None

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
LISTS = ("errors", "flags", "revisits", "pauses", "warnings")
STEP_FIGURES = ("gain", "expected", "learned")
LATER: dict[str, Any] = {"exit_status": "success", "dose": math.nan}
"""What the first records did not hold, and is taken for them."""


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
        "exit_status": record.exit_status,
        "dose": record.dose,
        **{name: list(getattr(record, name)) for name in LISTS},
        "best_candidate": best.candidate,
        "best_probability": best.probability,
        "probability": {escape(entry.candidate): entry.probability for entry in record.ranking},
        "candidates": list(record.predicted.candidate),
        "from_theory": _from_theory(record.predicted),
    }


def _from_theory(predicted: PredictedSpectra) -> list[str]:
    """Name the candidates whose spectra were computed from first principles in the end."""
    return [name for name, source in zip(predicted.candidate, predicted.source, strict=False) if source == "theory"]


def summarize(key: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Give a record's metadata to a reader: plain JSON, with the record's key."""
    return {"record": key, **{name: value for name, value in metadata.items() if name not in SEARCH_KEYS}}


def write_record(analyses: "Container", record: AnalysisRecord) -> str:
    """Write `record` into a new container of `analyses` and return its key.

    Arrays `energy` (m,), `mean` and `std` (n, m), … as in PredictedSpectra and `posterior` (steps, n); tables
    `decisions`, a row a step, and `requested`, a row an energy. What else was decided from: see `write_inputs`.
    """
    container = analyses.create_container(metadata=to_metadata(record), specs=[SPEC])
    for name in PREDICTED_ARRAYS:
        container.write_array(getattr(record.predicted, name), key=name)
    if record.inputs is not None:
        write_inputs(container, record.inputs)
    steps = record.decisions
    posterior = np.array([step.posterior for step in steps], dtype=np.float64)
    container.write_array(posterior.reshape(len(steps), len(record.predicted)), key="posterior")
    decisions = {name: [getattr(step, name) for step in steps] for name in ("time", "none_of_these", "reason", *STEP_FIGURES)}
    decisions["from_theory"] = [json.dumps(step.from_theory) for step in steps]
    if all(step.spent for step in steps):
        decisions |= {used.name: [getattr(step.spent, used.name) for step in steps] for used in fields(Spent)}
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
    nodes = dict(container.items())
    there = [name for name in PREDICTED_ARRAYS if name != "distance" or name in nodes]
    arrays: dict[str, Any] = {name: nodes[name].read() for name in there}
    arrays.setdefault("distance", np.full(len(metadata["candidates"]), np.nan))  # the first records had none
    computed = metadata.get("from_theory", [])
    source = tuple("theory" if name in computed else "model" for name in metadata["candidates"]) if computed else ()
    posterior, requested = nodes["posterior"].read(), nodes["requested"].read()
    steps: list[DecisionStep] = []
    for index, row in enumerate(nodes["decisions"].read().to_dict("records")):
        asked = requested[requested["step"] == index]
        steps.append(
            DecisionStep(
                time=row["time"],
                energy=tuple(asked["energy"].tolist()),
                dwell=tuple(asked["dwell"].tolist()),
                posterior=tuple(posterior[index].tolist()),
                none_of_these=row["none_of_these"],
                reason=row["reason"],
                spent=Spent(**{used.name: row[used.name] for used in fields(Spent)}) if "points" in row else None,
                from_theory=tuple(json.loads(row.get("from_theory", "[]"))),
                **{name: row[name] for name in STEP_FIGURES if name in row},
            )
        )
    return AnalysisRecord(
        raw_uid=metadata["raw_uid"],
        sample=metadata["sample"],
        ranking=tuple(Ranked(**entry) for entry in metadata["ranking"]),
        groups=tuple(Group(tuple(group["members"]), group["probability"]) for group in metadata["groups"]),
        decisions=tuple(steps),
        **{name: tuple(metadata.get(name, ())) for name in LISTS},
        **{name: _figure(metadata.get(name, before)) for name, before in LATER.items()},
        predicted=PredictedSpectra(
            edge=metadata["edge"],
            candidate=tuple(metadata["candidates"]),
            model=metadata["model"],
            source=source,
            **arrays,
        ),
        inputs=read_inputs(nodes[INPUTS]) if INPUTS in nodes else None,
        **{name: _figure(metadata[name]) for name in FIGURES},
    )


def _figure(value: Any) -> Any:
    """Read a figure back: JSON has no number for what nobody counts."""
    return math.nan if value is None else value
