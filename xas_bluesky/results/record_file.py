"""Analysis records as JSON text, for files: the same numbers come back, and only values of the kinds listed here."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from xas_bluesky.comparison import Gap, Group, Ranked
from xas_bluesky.config import Settings
from xas_bluesky.decision import Anchor, Budget, ScanRequest, Spent
from xas_bluesky.decision.information_gain import Cost
from xas_bluesky.errors import CatalogError
from xas_bluesky.results.inputs import Inputs
from xas_bluesky.results.records import AnalysisRecord, DecisionStep
from xas_bluesky.spectra import Absorption, PredictedSpectra
from xas_bluesky.wire import array_from_wire, array_to_wire

KNOWN = {
    kind.__name__: kind
    for kind in (
        *(AnalysisRecord, DecisionStep, Inputs, Ranked, Group, Gap, ScanRequest, Anchor, Budget, Spent, Cost),
        *(PredictedSpectra, Absorption),
    )
}
IS, ARRAY, BOOLEANS, SETTINGS, ENTRIES = "$is", "$array", "$booleans", "$settings", "$entries"
"""Keys that tell the kinds of values apart; no field is called so."""


def to_text(value: object) -> str:
    """Return a record, or a part of one, as JSON text."""
    return json.dumps(_plain(value))


def from_text(text: str) -> Any:
    """Return what `to_text` wrote; raises CatalogError when it is not that."""
    try:
        return _value(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CatalogError(f"not a record as this package writes it to a file: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {BOOLEANS: value.tolist()} if value.dtype == np.bool_ else {ARRAY: array_to_wire(value)}
    if isinstance(value, Settings):
        return {SETTINGS: value.model_dump(mode="json", exclude_unset=True)}
    if is_dataclass(value):
        return {IS: type(value).__name__, **{field.name: _plain(getattr(value, field.name)) for field in fields(value)}}
    if isinstance(value, Mapping):
        return {ENTRIES: {key: _plain(entry) for key, entry in value.items()}}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return tuple(_value(entry) for entry in plain)  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(plain, dict):
        return plain
    said: dict[str, Any] = plain
    if ARRAY in said:
        return array_from_wire(said[ARRAY])
    if BOOLEANS in said:
        return np.array(said[BOOLEANS], dtype=np.bool_)
    if SETTINGS in said:
        return Settings.read(said[SETTINGS], "the record's settings")
    if ENTRIES in said:
        return {key: _value(entry) for key, entry in said[ENTRIES].items()}
    return KNOWN[said[IS]](**{key: _value(entry) for key, entry in said.items() if key != IS})
