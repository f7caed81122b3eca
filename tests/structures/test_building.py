from dataclasses import fields
from itertools import combinations

import numpy as np
import pytest

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CandidateError
from xas_bluesky.structures import AtomGraph, build_graphs, building, make_graphs
from xas_bluesky.structures.building import CHUNK, FEW, Made

WATER = "3\n\nO 0 0 0.119\nH 0 0.763 -0.477\nH 0 -0.763 -0.477\n"
COPPER = "Cu\n3.61\n0 0.5 0.5\n0.5 0 0.5\n0.5 0.5 0\nCu\n1\ndirect\n0 0 0\n"
GOOD = ("CS", "CSC", "CS(C)=O", "C1CS1", "SC=C")
BAD = {"C1CS": "'C1CS' is not a valid SMILES", "CCO": "'CCO' holds no S"}


def listed(count: int) -> list[Candidate]:
    """Candidates, about every seventh of them bad."""
    structures = [*GOOD, *BAD]
    return [Candidate(f"c{n}", structures[n % len(structures)], f"list.smi:{n + 1}") for n in range(count)]


def same(one: Made, other: Made) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    pairs = [(getattr(a, f.name), getattr(b, f.name)) for a, b in zip(one, other, strict=True) for f in fields(AtomGraph)]
    return all(a.tobytes() == b.tobytes() if isinstance(a, np.ndarray) else a == b for a, b in pairs)


def test_smiles_become_as_many_geometries_as_wanted():
    found = build_graphs(Candidate("a", "CCCCO"), "O", conformers=3)
    assert len(found) == 3
    assert not np.allclose(found[0].vectors[:10], found[1].vectors[:10], atol=0.01)
    alone = build_graphs(Candidate("a", "CCCCO"), "O")[0]
    assert np.array_equal(alone.vectors, found[0].vectors)


def test_given_positions_are_the_only_geometry():
    (found,) = build_graphs(Candidate("a", WATER, format="xyz"), "O", conformers=3)
    assert np.allclose(np.sort(np.linalg.norm(found.vectors, axis=1))[:4], 0.969, atol=0.01)


def test_a_crystal_has_its_periodic_neighbours():
    (found,) = build_graphs(Candidate("a", COPPER, format="poscar"), "Cu")
    assert found.edges.shape == (2, 42)
    assert not found.features.any()


def test_what_cannot_be_read_is_named():
    with pytest.raises(CandidateError, match="candidate 'a': 'C1' is not a valid SMILES"):
        build_graphs(Candidate("a", "C1"), "C")


def test_each_candidate_gives_its_graphs_or_why_there_are_none():
    candidates = listed(9)
    made = list(make_graphs(candidates, "S", conformers=1))
    assert len(made) == 9
    for candidate, found in zip(candidates, made, strict=True):
        if candidate.structure in BAD:
            assert isinstance(found, str)
            assert found.startswith(f"{candidate.source}: candidate {candidate.name!r}: {BAD[candidate.structure]}")
        else:
            assert same(found, build_graphs(candidate, "S"))


def test_conformers_are_graphs_of_one_candidate():
    candidate = Candidate("thiol", "CCCCS")
    (one,) = make_graphs([candidate], "S", conformers=1)
    (four,) = make_graphs([candidate], "S", conformers=4)
    assert isinstance(four, list)
    assert [len(one), len(four)] == [1, 4]
    assert not any(same([graph], [other]) for graph, other in combinations(four, 2))


def test_no_candidate_gives_nothing():
    assert list(make_graphs([], "S", conformers=1)) == []


@pytest.mark.slow
def test_many_candidates_give_the_same_graphs_in_order_from_other_processes(monkeypatch: pytest.MonkeyPatch):
    candidates = listed(FEW + CHUNK + 5)
    expected = [made for part in (candidates[:FEW], candidates[FEW:]) for made in make_graphs(part, "S", conformers=1)]

    def refuse(*_args: object, **_kwargs: object) -> None:
        pytest.fail("made in this process")

    monkeypatch.setattr(building, "build_graphs", refuse)
    found = list(make_graphs(candidates, "S", conformers=1))
    assert len(found) == len(candidates)
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))
    assert sum(isinstance(made, str) for made in found) == sum(candidate.structure in BAD for candidate in candidates)
