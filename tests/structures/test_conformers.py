import numpy as np
import pytest
from rdkit.Chem import rdForceFieldHelpers

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CandidateError
from xas_bluesky.spectra import Array
from xas_bluesky.structures import embed, read_molecule


def positions(smiles: str) -> Array:
    return embed(read_molecule(Candidate("x", smiles), "S"), "x").GetConformer().GetPositions()


@pytest.mark.parametrize(("smiles", "respelled"), [("N[C@@H](CCSC)C(=O)O", "CSCC[C@H](N)C(=O)O"), ("c1ccsc1", "S1C=CC=C1")])
def test_every_spelling_gives_the_same_geometry(smiles: str, respelled: str):
    assert np.array_equal(positions(smiles), positions(respelled))


def test_bond_lengths_are_those_of_the_molecule():
    sulfide = embed(read_molecule(Candidate("dimethyl sulfide", "CSC"), "S"), "x")
    sulfur = next(atom.GetIdx() for atom in sulfide.GetAtoms() if atom.GetSymbol() == "S")
    place = sulfide.GetConformer().GetPositions()
    lengths = [np.linalg.norm(place[sulfur] - place[carbon]) for carbon in range(3) if carbon != sulfur]
    assert lengths == pytest.approx([1.80, 1.80], abs=0.03)


def test_the_given_molecule_is_left_as_it_was():
    molecule = read_molecule(Candidate("x", "CSC"), "S")
    embed(molecule, "x")
    assert molecule.GetNumConformers() == 0


@pytest.mark.parametrize("smiles", ["CSB(C)C", "CC[Se]CS"])
def test_a_molecule_without_mmff_parameters_is_relaxed_all_the_same(smiles: str):
    molecule = read_molecule(Candidate("x", smiles), "S")
    assert not rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule)
    place = embed(molecule, "x").GetConformer().GetPositions()
    distances = np.linalg.norm(place[:, None] - place, axis=-1)[np.triu_indices(len(place), 1)]
    assert 0.9 < distances.min() < 1.3


def test_one_atom_and_hydrogen_sulfide():
    assert np.allclose(positions("[S]"), 0)
    sulfur, *hydrogens = positions("S")
    assert [np.linalg.norm(sulfur - hydrogen) for hydrogen in hydrogens] == pytest.approx([1.34, 1.34], abs=0.02)


def test_an_impossible_geometry_is_refused(capfd: pytest.CaptureFixture[str]):
    molecule = read_molecule(Candidate("strained", "SC1C#C1"), "S")
    with pytest.raises(CandidateError, match=r"^a\.smi:3: no three-dimensional geometry was found; check"):
        embed(molecule, "a.smi:3")
    assert capfd.readouterr() == ("", "")
