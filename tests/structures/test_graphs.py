import numpy as np
import pytest

from xas_bluesky.candidates import Candidate
from xas_bluesky.structures import AtomGraph, embed, kind_of, molecular_graph, read_molecule
from xas_bluesky.structures.graphs import ATOM_FEATURES, CUTOFF


def graph(smiles: str, absorber: str = "S") -> AtomGraph:
    return molecular_graph(embed(read_molecule(Candidate("x", smiles), absorber), "x"), absorber)


@pytest.mark.parametrize(
    ("smiles", "environments"),
    [
        ("CS", ("S(-C)(-H)",)),
        ("CSC", ("S(-C)(-C)",)),
        ("c1ccsc1", ("S(:C)(:C)",)),
        ("CSSC", ("S(-C)(-S)", "S(-C)(-S)")),
        ("CS(C)=O", ("S(-C)(-C)(=O)",)),
        ("CS(C)(=O)=O", ("S(-C)(-C)(=O)(=O)",)),
        ("CS(=O)(=O)O", ("S(-C)(-O)(=O)(=O)",)),
        ("CNS(C)(=O)=O", ("S(-C)(-N)(=O)(=O)",)),
        ("NC(N)=S", ("S(=C)",)),
        ("C[S-]", ("S(-C)",)),
        ("S", ("S(-H)(-H)",)),
        ("[S]", ("S",)),
        ("CSCCS(C)(=O)=O", ("S(-C)(-C)", "S(-C)(-C)(=O)(=O)")),
    ],
)
def test_environments_name_the_chemistry(smiles: str, environments: tuple[str, ...]):
    assert graph(smiles).environments == environments


def test_every_spelling_gives_the_same_graph():
    first, second = graph("CS(=O)CC[C@H](N)C(=O)O"), graph("OC(=O)[C@@H](N)CC[S+](C)[O-]")
    for field in ("numbers", "features", "edges", "vectors", "absorbers"):
        assert np.array_equal(getattr(first, field), getattr(second, field)), field
    assert first.environments == second.environments


def test_shapes_and_absorbers():
    found = graph("CSSC")
    assert found.numbers.shape == (10,)
    assert found.edges.shape == (2, len(found.vectors))
    assert found.vectors.shape[1] == 3
    assert found.features.shape == (10, ATOM_FEATURES)
    assert list(found.numbers[found.absorbers]) == [16, 16]


def test_the_absorber_is_the_one_asked_for():
    found = graph("OCCS", "O")
    assert list(found.numbers[found.absorbers]) == [8]
    assert found.environments == ("O(-C)(-H)",)


def test_features_of_the_sulfur_of_a_sulfone_in_a_ring_of_five():
    found = graph("O=S1(=O)CCCC1")
    sulfur = found.features[found.absorbers[0]]
    degree, hydrogens, charge, aromatic, ring = sulfur[:5]
    assert (degree, hydrogens, charge, aromatic, ring) == (1.0, 0.0, 0.0, 0.0, 1.0)
    assert list(sulfur[8:]) == [1.0, 0.0, 0.5, 1.0]  # two double bonds, no triple bond, two oxygens, ring of five


def test_edges_join_the_atoms_within_the_cutoff_both_ways():
    molecule = embed(read_molecule(Candidate("x", "CCCCCCCCS"), "S"), "x")
    found = molecular_graph(molecule, "S")
    positions = molecule.GetConformer().GetPositions()
    distances = np.linalg.norm(positions[:, None] - positions, axis=-1)
    expected = {(i, j) for i, j in zip(*np.nonzero(distances < CUTOFF), strict=True) if i != j}
    assert {tuple(edge) for edge in found.edges.T} == expected
    assert len(expected) < len(found.numbers) * (len(found.numbers) - 1)
    senders, receivers = found.edges
    assert np.allclose(found.vectors, positions[senders] - positions[receivers], atol=1e-5)


def test_several_elements_absorb():
    molecule = embed(read_molecule(Candidate("x", "OCCS"), "S"), "x")
    assert list(molecular_graph(molecule, "S", "O").environments) == ["O(-C)(-H)", "S(-C)(-H)"]


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ("S(-C)(-H)", "S"),
        ("S(:C)(:C)", "S"),
        ("S(=C)", "S(=C)"),
        ("S(-C)(-C)(=O)", "S(=O)"),
        ("S(-C)(-N)(=O)(=O)", "S(=O)(=O)"),
        ("S(-C)(-O)(=O)(=O)", "S(-O)(=O)(=O)"),
    ],
)
def test_a_kind_is_what_settles_where_a_spectrum_lies(environment: str, kind: str):
    assert kind_of(environment) == kind
    assert kind_of(kind) == kind
