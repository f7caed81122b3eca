"""Absorption edges by name: energy, core-hole width and atomic edge jump, from xraydb."""

import difflib
import functools
from dataclasses import dataclass
from typing import Any

import xraydb

from xas_bluesky.errors import EdgeError

MEGABARN_PER_CM2 = 1e18
AVOGADRO = 6.02214076e23
JUMP_HALF_WIDTH = 0.02
"""The jump is read this share of the edge's energy below and above it; the slope makes it about 5 % less than at the edge."""
LOWEST = 100.0
"""eV, where Elam's tables become reliable."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Name one absorption edge.

    `absorber`: element symbol; `level`: "K", "L3", …; `energy` and core-hole `width` (full width at half maximum), eV;
    `jump`: rise of the atomic photoabsorption cross-section at the edge, Mb (10⁻¹⁸ cm²) per atom (Elam's tables,
    doi:10.1016/S0969-806X(01)00227-4).
    """

    absorber: str
    level: str
    energy: float
    width: float
    jump: float

    def __str__(self) -> str:
        return f"{self.absorber} {self.level}"


@functools.cache
def find_edge(name: str) -> Edge:
    """Find the edge called `name`, an element and a level as in "S K" ("S_K", "S-K", "sulfur K" too).

    Raises EdgeError when xraydb knows no such edge, or no cross-sections there.
    """
    parts = name.replace("_", " ").replace("-", " ").split()
    if len(parts) != 2:
        raise EdgeError(f"edge {name!r}: expected an element and a level, as in 'S K'")
    absorber, level = _elements().get(parts[0].lower(), parts[0]), parts[1].capitalize()
    try:
        found = xraydb.xray_edge(absorber, level)
    except ValueError:
        found = None
    if found is None:
        raise EdgeError(f"edge {name!r}: xraydb knows no such edge; give an element and a level, as in 'S K' or 'Cu K'")
    if found.energy < LOWEST:
        raise EdgeError(f"edge {name!r}: it lies at {found.energy:g} eV, below the {LOWEST:g} eV where X-ray tables begin")
    beside = [found.energy * (1 - JUMP_HALF_WIDTH), found.energy * (1 + JUMP_HALF_WIDTH)]
    below, above = xraydb.mu_elam(absorber, beside, kind="photo")
    jump = float(above - below) * xraydb.atomic_mass(absorber) / AVOGADRO * MEGABARN_PER_CM2
    width: Any = xraydb.core_width(absorber, level)
    return Edge(absorber, level, float(found.energy), float(width), jump)


@functools.cache
def edge_names() -> tuple[str, ...]:
    """Name the edges that X-ray tables cover, by element."""
    edges = {symbol: xraydb.xray_edges(symbol) for symbol in _elements().values()}
    return tuple(f"{symbol} {level}" for symbol, levels in edges.items() for level in levels if levels[level].energy >= LOWEST)


def nearest_edges(name: str) -> list[str]:
    """Name the edges that may have been meant by what is the name of none."""
    words = name.replace("_", " ").replace("-", " ").split()
    symbols = [_elements()[word.lower()] for word in words if word.lower() in _elements()]
    of_element = [edge for edge in edge_names() if edge.split()[0] in symbols[:1]]
    of_level = [edge for edge in of_element if edge.split()[1] == words[-1].upper()]
    return of_level or of_element[:4] or difflib.get_close_matches(" ".join(words).title(), edge_names(), n=3)


@functools.cache
def _elements() -> dict[str, str]:
    """Map the symbols and the names of the elements, in small letters, to their symbols."""
    symbols: list[str] = [xraydb.atomic_symbol(number) for number in range(1, 99)]
    return {name.lower(): symbol for symbol in symbols for name in (xraydb.atomic_name(symbol), symbol)}
