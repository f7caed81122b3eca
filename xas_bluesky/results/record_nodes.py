"""An analysis record as nodes of Tiled: one container, with arrays and tables; written and read back."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from xas_bluesky.comparison import Group, Ranked
from xas_bluesky.decision import Spent
from xas_bluesky.results.access import OPEN, Access
from xas_bluesky.results.inputs import INPUTS, read_inputs, write_inputs
from xas_bluesky.results.metadata import FIGURES, LISTS, SEARCH_KEYS, figure_of, identities, to_metadata
from xas_bluesky.results.records import AnalysisRecord, DecisionStep
from xas_bluesky.spectra import TEXTS, Absorption, PredictedSpectra

if TYPE_CHECKING:
    from tiled.client.container import Container

SPEC = ("XASAnalysis", "2.0")
ARRAYS = {
    "energy": "energy",
    "predicted": "mean",
    "uncertainty": "std",
    "factors": "factors",
    "ionization": "ionization",
    "supported": "supported",
    "distance": "distance",
}
"""Node -> field of PredictedSpectra; before version 2.0 of the schema, the nodes had the names of the fields."""
STEP_FIGURES = ("gain", "expected", "learned")
MEASURED = ("energy", "mu", "variance")
"""The rows of the array `measured`."""
LATER: dict[str, Any] = {"exit_status": "success", "dose": math.nan}
"""What the first records did not hold, and is taken for them."""


def write_record(analyses: "Container", record: AnalysisRecord, access: Access = OPEN) -> str:
    """Write `record` into a new container of `analyses` and return its key; all of it carries the tags of `access`.

    Arrays `energy` (m,), `predicted` and `uncertainty` (n, m), `factors`, … as in PredictedSpectra, `posterior` (steps, n) and
    `measured` (3, k): energy, mu and its variance; tables `ranking`, a row a candidate, `decisions`, a row a step, and
    `requested`, a row an energy. What else was decided from: see `write_inputs`.
    """
    from tiled.structures.core import Spec

    tags, predicted = access.tags, record.predicted
    container = analyses.create_container(
        metadata={**to_metadata(record), **access.metadata()}, specs=[Spec(*SPEC)], access_tags=tags
    )
    said = {"candidate": list(predicted.candidate), **{name: list(getattr(predicted, name)) for name in TEXTS}}
    for node, name in ARRAYS.items():
        about = said if node == "predicted" else None
        container.write_array(getattr(predicted, name), key=node, metadata=about, access_tags=tags)
    if record.measured is not None and len(record.measured):
        about = {"rows": list(MEASURED), "signal": record.measured.signal, "noise": record.measured.noise}
        rows = np.array([getattr(record.measured, name) for name in MEASURED])
        container.write_array(rows, key="measured", metadata=about, access_tags=tags)
    if record.inputs is not None:
        write_inputs(container, record.inputs, tags)
    posterior = np.array([step.posterior for step in record.decisions], dtype=np.float64)
    container.write_array(posterior.reshape(len(record.decisions), len(predicted)), key="posterior", access_tags=tags)
    for key, table in (
        ("ranking", _ranking_table(record)),
        ("decisions", _decision_table(record.decisions)),
        ("requested", _requested_table(record.decisions)),
    ):
        container.write_table(table, key=key, access_tags=tags)
    return container.item["id"]


def read_record(container: "Container") -> AnalysisRecord:
    """Read back what `write_record` wrote, or an earlier version of it."""
    metadata: dict[str, Any] = dict(container.metadata)
    nodes = dict(container.items())
    ranking, groups = read_ranking(metadata, nodes)
    return AnalysisRecord(
        raw_uid=metadata["raw_uid"],
        sample=metadata["sample"],
        ranking=ranking,
        groups=groups,
        decisions=_read_decisions(nodes),
        **{name: tuple(metadata.get(name, ())) for name in LISTS},
        **{name: figure_of(metadata.get(name, before)) for name, before in LATER.items()},
        predicted=read_predicted(metadata, nodes),
        inputs=read_inputs(nodes[INPUTS]) if INPUTS in nodes else None,
        measured=read_measured(nodes["measured"]) if "measured" in nodes else None,
        **{name: figure_of(metadata[name]) for name in FIGURES},
    )


def read_predicted(metadata: Mapping[str, Any], nodes: Mapping[str, Any]) -> PredictedSpectra:
    """Read what was predicted, from a record's metadata and nodes."""
    said: Any = nodes["predicted"].metadata if "candidates" not in metadata else _said_before(metadata)
    names = {field: node if node in nodes else field for node, field in ARRAYS.items()}
    there = {field: node for field, node in names.items() if field != "distance" or node in nodes}
    arrays: dict[str, Any] = {field: nodes[node].read() for field, node in there.items()}
    arrays.setdefault("distance", np.full(len(said["candidate"]), np.nan))  # the first records had none
    texts = {name: tuple(said.get(name, ())) for name in ("candidate", *TEXTS)}
    return PredictedSpectra(edge=metadata["edge"], model=metadata["model"], **texts, **arrays)


def _said_before(metadata: Mapping[str, Any]) -> dict[str, list[str]]:
    names, computed = metadata["candidates"], metadata.get("from_theory", [])
    return {"candidate": names, "source": ["theory" if name in computed else "model" for name in names] if computed else []}


def read_measured(array: Any) -> Absorption:
    """Read what the last decision saw; flags and remarks are in the reduced scan of the run."""
    energy, mu, variance = array.read()
    return Absorption(energy, mu, variance, array.metadata["signal"], array.metadata["noise"])


def read_ranking(metadata: Mapping[str, Any], nodes: Mapping[str, Any]) -> tuple[tuple[Ranked, ...], tuple[Group, ...]]:
    """Read the ranking and its groups, from a record's nodes; in earlier ones, from the metadata."""
    if "candidates" in metadata:
        ranking = tuple(Ranked(**entry) for entry in metadata["ranking"])
        return ranking, tuple(Group(tuple(group["members"]), group["probability"]) for group in metadata["groups"])
    rows = nodes["ranking"].read().to_dict("records")
    ranking = tuple(Ranked(**{name.name: row[name.name] for name in fields(Ranked)}) for row in rows)
    members: dict[int, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (row["group"], row["member"])):
        members.setdefault(row["group"], []).append(row)
    groups = (Group(tuple(row["candidate"] for row in group), group[0]["group_probability"]) for group in members.values())
    return ranking, tuple(groups)


def summarize(key: str, metadata: Mapping[str, Any], nodes: Mapping[str, Any]) -> dict[str, Any]:
    """Give a record to a reader as plain JSON: its metadata with the whole ranking, and its key."""
    said = {"record": key, **{name: value for name, value in metadata.items() if name not in SEARCH_KEYS}}
    if "ranking" not in said:
        ranking, groups = read_ranking(metadata, nodes)
        said["ranking"] = [asdict(entry) for entry in ranking]
        said["groups"] = [{"members": list(group.members), "probability": group.probability} for group in groups]
    return said


def _ranking_table(record: AnalysisRecord) -> dict[str, list[Any]]:
    """Return the ranking by columns: with what each candidate is, and its place in its group."""
    inchikey, formula = identities(record.predicted)
    rows: list[dict[str, Any]] = []
    for entry in record.ranking:
        name, group = entry.candidate, record.groups[entry.group]
        place = {"group_probability": group.probability, "member": group.members.index(name)}
        rows.append({**asdict(entry), "inchikey": inchikey.get(name, ""), "formula": formula.get(name, ""), **place})
    return {name: [row[name] for row in rows] for name in rows[0]}


def _decision_table(steps: Sequence[DecisionStep]) -> dict[str, list[Any]]:
    decisions = {name: [getattr(step, name) for step in steps] for name in ("time", "none_of_these", "reason", *STEP_FIGURES)}
    decisions["from_theory"] = [json.dumps(step.from_theory) for step in steps]
    if all(step.spent for step in steps):
        decisions |= {used.name: [getattr(step.spent, used.name) for step in steps] for used in fields(Spent)}
    return decisions


def _requested_table(steps: Sequence[DecisionStep]) -> dict[str, list[Any]]:
    requested = [
        (index, energy, dwell)
        for index, step in enumerate(steps)
        for energy, dwell in zip(step.energy, step.dwell, strict=True)
    ]
    columns = zip(*requested, strict=True) if requested else ([], [], [])
    return {name: list(column) for name, column in zip(("step", "energy", "dwell"), columns, strict=True)}


def _read_decisions(nodes: Mapping[str, Any]) -> tuple[DecisionStep, ...]:
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
    return tuple(steps)
