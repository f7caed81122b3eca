"""Structures: from a candidate's text to a graph with its absorbers marked."""

from xas_bluesky.structures.conformers import embed
from xas_bluesky.structures.graphs import AtomGraph, environment, molecular_graph
from xas_bluesky.structures.molecules import describe, read_molecule

__all__ = ["AtomGraph", "describe", "embed", "environment", "molecular_graph", "read_molecule"]
