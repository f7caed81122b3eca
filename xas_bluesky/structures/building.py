"""From a candidate, whatever it was written as, to its graphs."""

from collections.abc import Generator, Sequence
from typing import Any

from joblib import Parallel, delayed
from rdkit import Chem

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CandidateError
from xas_bluesky.structures.conformers import embed
from xas_bluesky.structures.crystals import crystal_graph, read_crystal
from xas_bluesky.structures.graphs import AtomGraph, molecular_graph
from xas_bluesky.structures.molecules import describe, read_molecule

CRYSTALS = ("cif", "poscar")
FEW = 128
"""So many are made here sooner than other processes start."""
CHUNK = 16

Made = list[AtomGraph] | str
"""A candidate's graphs, or why there are none."""


def build_graphs(candidate: Candidate, *elements: str, conformers: int = 1) -> list[AtomGraph]:
    """Make a candidate's graphs, with every atom of these elements marked as absorber.

    A crystal has one, so has a molecule whose positions are given, and of others one is made per conformer. Raises
    CandidateError for what cannot be read or has no absorber, and for a molecule without a geometry.
    """
    if candidate.format in CRYSTALS:
        return [crystal_graph(read_crystal(candidate, *elements), *elements)]
    molecule = place_molecule(candidate, *elements, conformers=conformers)
    return [molecular_graph(molecule, *elements, conformer=conformer.GetId()) for conformer in molecule.GetConformers()]


def place_molecule(candidate: Candidate, *elements: str, conformers: int = 1) -> Chem.Mol:
    """Read a molecule that holds one of these elements, with the positions given or else with this many conformers.

    Raises CandidateError as `build_graphs`, and for a crystal.
    """
    molecule = read_molecule(candidate, *elements)
    return molecule if molecule.GetNumConformers() else embed(molecule, describe(candidate), conformers)


def make_graphs(candidates: Sequence[Candidate], element: str, conformers: int, cores: int = -1) -> Generator[Made]:
    """Make the graphs of each candidate, its atoms of `element` marked as absorbers, in order and as they are ready.

    `cores`: how many are used for more than FEW candidates, all if -1.
    """
    if len(candidates) <= FEW:
        yield from _make(candidates, element, conformers)
        return
    chunks = (candidates[start : start + CHUNK] for start in range(0, len(candidates), CHUNK))
    pool: Any = Parallel(n_jobs=cores, return_as="generator")
    for made in pool(delayed(_make)(chunk, element, conformers) for chunk in chunks):
        yield from made


def _make(candidates: Sequence[Candidate], element: str, conformers: int) -> list[Made]:
    made: list[Made] = []
    for candidate in candidates:
        try:
            made.append(build_graphs(candidate, element, conformers=conformers))
        except CandidateError as error:
            made.append(str(error))
    return made
