"""The metadata of analysis records: what a search asks for, as scalars and as numbers by key."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from xas_bluesky.comparison import Ranked
from xas_bluesky.spectra import PredictedSpectra

if TYPE_CHECKING:
    from xas_bluesky.results.records import AnalysisRecord

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
BY_NAME, BY_INCHIKEY, BY_FORMULA = "probability", "probability_by_inchikey", "probability_by_formula"
"""The keys of the probabilities of all that is ranked; below them, an escaped name each."""
SEARCH_KEYS = ("best_candidate", "best_probability", BY_NAME, BY_INCHIKEY, BY_FORMULA, "candidates", "stop_kind")
"""Metadata that repeats others in a form that Tiled's queries reach."""
SHORT = 20
"""A ranking of no more candidates stands in the metadata as well: a longer one would slow every search."""


def escape(candidate: str) -> str:
    """Spell a candidate's name as a metadata key, without the characters that have a meaning in Tiled's key paths."""
    return re.sub(r"[^\w \-]", lambda found: f"%{ord(found[0]):x}", candidate)


def kind_of_stop(reason: str) -> str:
    """Return what a reason to stop begins with, without its figures, as in "sure", "budget" or "interrupted"."""
    return reason.partition(":")[0]


def to_metadata(record: "AnalysisRecord") -> dict[str, Any]:
    """Lay out a record as JSON that Tiled can search."""
    best, predicted = max(record.ranking, key=lambda entry: entry.probability), record.predicted
    inchikey, formula = identities(predicted)
    short = {
        "ranking": [asdict(entry) for entry in record.ranking],
        "groups": [{"members": list(group.members), "probability": group.probability} for group in record.groups],
    }
    return {
        "raw_uid": record.raw_uid,
        "sample": record.sample,
        "edge": record.edge,
        "model": record.model,
        **{name: getattr(record, name) for name in FIGURES},
        "stop_kind": kind_of_stop(record.stop_reason),
        "exit_status": record.exit_status,
        "dose": record.dose,
        **{name: list(getattr(record, name)) for name in LISTS},
        **(short if len(record.ranking) <= SHORT else {}),
        "best_candidate": best.candidate,
        "best_probability": best.probability,
        "inchikey": inchikey.get(best.candidate) or None,
        "formula": formula.get(best.candidate) or None,
        BY_NAME: {escape(entry.candidate): _rounded(entry.probability) for entry in record.ranking},
        BY_INCHIKEY: _summed(record.ranking, inchikey),
        BY_FORMULA: _summed(record.ranking, formula),
        "from_theory": [
            name for name, source in zip(predicted.candidate, predicted.source, strict=False) if source == "theory"
        ],
    }


def identities(predicted: PredictedSpectra) -> tuple[dict[str, str], dict[str, str]]:
    """Return the InChIKeys and the formulas of candidates by name, of those that have one."""
    inchikey, formula = (
        {name: text for name, text in zip(predicted.candidate, texts, strict=False) if text}
        for texts in (predicted.inchikey, predicted.formula)
    )
    return inchikey, formula


def figure_of(value: Any) -> Any:
    """Read a figure back: JSON has no number for what nobody counts."""
    return math.nan if value is None else value


def _summed(ranking: Iterable[Ranked], label: Mapping[str, str]) -> dict[str, float]:
    """Return the probability of each label: candidates that share it are forms of one thing."""
    total: defaultdict[str, float] = defaultdict(float)
    for entry in ranking:
        if entry.candidate in label:
            total[escape(label[entry.candidate])] += entry.probability
    return {name: _rounded(probability) for name, probability in total.items()}


def _rounded(probability: float) -> float:
    """Leave out digits that nobody searches by: every search reads all of these."""
    return float(f"{probability:.6g}")
