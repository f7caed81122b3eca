"""The words in which scans are asked for: "-200 -30 -10 25 12k" is five numbers, the last of them in Å⁻¹."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xas_bluesky.errors import SettingsError

K2_PER_EV = 0.2624683
"""k² (Å⁻²) per eV above the edge: twice the electron's mass over ħ²."""

EXAMPLES = {
    "bounds": ("eV from the edge, or Å⁻¹ with the suffix k", '"-200 -30 -10 25 12k"'),
    "steps": ("eV, or Å⁻¹ with the suffix k", '"10 2 0.3 0.05k"'),
    "times": ("seconds a point, or seconds times k with the suffix k", '"0.5 0.5 1 0.25k"'),
}

Words = str | float | Sequence[str | float]
"""Numbers with or without the suffix k: in one text, divided by blanks or commas, or in a list; or a single number."""


@dataclass(frozen=True, slots=True)
class Word:
    """Hold a number, and whether it was written with the suffix k."""

    value: float
    is_k: bool


def read_words(name: str, given: Words) -> list[Word]:
    """Read the argument called `name`: "bounds", "steps" or "times"; raises SettingsError, which says what was expected."""
    items: Sequence[object] = [given]
    if isinstance(given, str):
        items = given.replace(",", " ").split()
    elif isinstance(given, Sequence):
        items = given
    return [_word(name, item, given) for item in items]


def k_of(offset: float) -> float:
    """Return the wave number k (Å⁻¹) at an `offset` from the edge of 0 eV or more."""
    return math.sqrt(K2_PER_EV * offset)


def energy_of(k: float) -> float:
    """Return the energy from the edge (eV) at a wave number k (Å⁻¹)."""
    return k**2 / K2_PER_EV


def expected(name: str) -> str:
    """Say what an argument should look like."""
    unit, example = EXAMPLES[name]
    return f"expected numbers in {unit}, as in {name}={example}"


def _word(name: str, item: object, given: object) -> Word:
    text = str(item).strip()
    is_k = text[-1:] in ("k", "K")
    try:
        value = float(text[:-1] if is_k else text)
    except ValueError as error:
        raise SettingsError(f"scan regions: {name} {given!r} must be numbers; {text!r} is none, {expected(name)}") from error
    if not math.isfinite(value):
        raise SettingsError(f"scan regions: {name} {given!r} must be finite numbers; {text!r} is not, {expected(name)}")
    return Word(value, is_k)
