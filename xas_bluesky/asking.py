"""Plain words, as they are typed or come from a queue, for candidates, budgets and samples."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from xas_bluesky.candidates import Candidate
from xas_bluesky.decision import Budget
from xas_bluesky.errors import CandidateError, SettingsError
from xas_bluesky.investigation import Sample

LIMITS = tuple(field.name for field in fields(Budget))
SAMPLE = ("name", "candidates", "slot", "spot", "priority", *LIMITS)


def budget_of(given: object, **limits: float | None) -> Budget:
    """Make a budget of a Budget or a mapping, and of `limits` beside it, None for none; raises SettingsError."""
    if isinstance(given, Budget):
        named: dict[str, Any] = {name: getattr(given, name) for name in LIMITS} if any_given(limits) else {}
        if not named:
            return given
    elif given is None or isinstance(given, Mapping):
        named = {str(name): value for name, value in (given or {}).items()}
    else:
        raise SettingsError(f'budget: got {given!r}, expected limits by name, as in budget={{"points": 60, "seconds": 300}}')
    named |= {name: value for name, value in limits.items() if value is not None}
    for name, value in named.items():
        if name not in LIMITS:
            raise SettingsError(f"budget: there is no limit {name!r}; those there are: {', '.join(LIMITS)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise SettingsError(f"{name}: got {value!r}, expected a positive number, as in {name}=60")
    return Budget(**named)


def any_given(limits: Mapping[str, float | None]) -> bool:
    """Say whether there is a limit."""
    return any(value is not None for value in limits.values())


def candidates_of(given: object) -> Sequence[Candidate] | str | Path:
    """Take a path, or a list of candidates or of {"name": …, "structure": …}; raises CandidateError."""
    if isinstance(given, str | Path):
        return given
    if not isinstance(given, Sequence):
        raise CandidateError(f'candidates: got {given!r}, expected the path of a file, as in candidates="list.smi", or a list')
    return [_candidate(one) for one in given]


def _candidate(given: object) -> Candidate:
    if isinstance(given, Candidate):
        return given
    if isinstance(given, Mapping) and {"name", "structure"} <= given.keys() <= {"name", "structure", "format"}:
        return Candidate(**{str(key): value for key, value in given.items()})
    raise CandidateError(f'candidates: got {given!r}, expected as in {{"name": "thiol", "structure": "CCS"}} (SMILES)')


def sample_of(given: object) -> Sample:
    """Take a Sample, or a mapping of its words; raises SettingsError for a word that is not known, or is missing."""
    if isinstance(given, Sample):
        return given
    example = 'as in {"name": "lot 3", "candidates": "list.smi", "slot": 0}'
    if not isinstance(given, Mapping):
        raise SettingsError(f"samples: got {given!r}, expected a dict of words, {example}")
    words: dict[str, Any] = {str(key): value for key, value in given.items()}
    if unknown := [word for word in words if word not in SAMPLE]:
        raise SettingsError(f"samples: {unknown[0]!r} is no word of a sample; those there are: {', '.join(SAMPLE)}")
    if missing := [word for word in ("name", "candidates") if word not in words]:
        raise SettingsError(f"samples: {words!r} has no {missing[0]}, {example}")
    limits = {name: words.pop(name) for name in LIMITS if name in words}
    words["candidates"] = candidates_of(words["candidates"])
    return Sample(**words, budget=budget_of(limits) if limits else None)


def said(given: object) -> str:
    """Spell an argument for the metadata: texts as they are, lists by their length, plans by their names."""
    if isinstance(given, str | Path):
        return str(given)
    return f"{len(given)} in a list" if isinstance(given, Sequence) else str(getattr(given, "__name__", given))
