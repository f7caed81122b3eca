"""Structures: from a candidate's text to a graph with its absorbers marked."""

from xas_bluesky.structures.building import build_graphs, make_graphs, place_molecule
from xas_bluesky.structures.conformers import embed
from xas_bluesky.structures.crystals import Crystal, crystal_graph, read_crystal
from xas_bluesky.structures.graphs import AtomGraph, environment, kind_of, molecular_graph
from xas_bluesky.structures.identity import identify
from xas_bluesky.structures.molecules import describe, read_molecule
from xas_bluesky.structures.split import Part, split

__all__ = [
    "AtomGraph",
    "Crystal",
    "Part",
    "build_graphs",
    "crystal_graph",
    "describe",
    "embed",
    "environment",
    "identify",
    "kind_of",
    "make_graphs",
    "molecular_graph",
    "place_molecule",
    "read_crystal",
    "read_molecule",
    "split",
]
