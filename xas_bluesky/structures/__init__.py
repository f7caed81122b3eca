"""Structures: from a candidate's text to a graph with its absorbers marked."""

from xas_bluesky.structures.conformers import embed
from xas_bluesky.structures.graphs import AtomGraph, environment, molecular_graph
from xas_bluesky.structures.molecules import describe, read_molecule
from xas_bluesky.structures.split import Part, split

__all__ = ["AtomGraph", "Part", "describe", "embed", "environment", "molecular_graph", "read_molecule", "split"]
