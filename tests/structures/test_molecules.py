import pytest
from rdkit import Chem

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CandidateError
from xas_bluesky.structures import describe, read_molecule


def order(smiles: str) -> list[tuple[int, int, int]]:
    molecule = read_molecule(Candidate("x", smiles), "S")
    return [(atom.GetAtomicNum(), atom.GetDegree(), atom.GetFormalCharge()) for atom in molecule.GetAtoms()]


@pytest.mark.parametrize(
    ("smiles", "respelled"),
    [
        ("N[C@@H](CS)C(=O)O", "OC(=O)[C@H](CS)N"),
        ("c1ccsc1", "S1C=CC=C1"),
        ("CS(C)=O", "O=S(C)C"),
        ("CS(C)=O", "C[S+](C)[O-]"),
        ("CS(C)(=O)=O", "C[S+2](C)([O-])[O-]"),
        ("CS(=O)(=O)[O-]", "C[S+2]([O-])([O-])[O-]"),
        ("CCS", "[H]SC([H])([H])C"),
    ],
)
def test_every_spelling_gives_the_same_atoms_in_the_same_order(smiles: str, respelled: str):
    assert order(smiles) == order(respelled)


def test_split_oxides_keep_their_handedness():
    joined, written = (
        Chem.MolToSmiles(Chem.RemoveHs(read_molecule(Candidate("x", smiles), "S")))
        for smiles in ("C[S@@+]([O-])CC", "C[S@@](=O)CC")
    )
    assert joined == written
    assert "@" in joined


def test_other_charges_stay():
    assert sum(charge for _, _, charge in order("C[S+](C)C")) == 1
    assert sum(charge for _, _, charge in order("C[S-]")) == -1


def test_hydrogens_are_atoms_and_come_last():
    numbers = [number for number, _, _ in order("CCS")]
    assert sorted(numbers[:3]) == [6, 6, 16]
    assert numbers[3:] == [1] * 6


@pytest.mark.parametrize(
    ("smiles", "message"),
    [
        ("C1CS", "'C1CS' is not a valid SMILES string; correct"),
        ("CSC(", "is not a valid SMILES string; correct"),
        ("C[S](C)(C)(C)(C)(C)C", "is not a valid SMILES string; correct"),
        ("cysteine", "'cysteine' is not a valid SMILES string; correct"),
        ("CCO", "'CCO' holds no S, the absorber of this edge; remove"),
        ("[Na+].C[S-]", "has several fragments; give the one that holds S"),
        ("CS.CCS", "has several fragments"),
        ("*SC", r"holds '\*', which no model knows; remove"),
        ("[Fm]S", "holds 'Fm', which no model knows; remove"),
        ("|x|", "is not a valid SMILES string"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place_and_a_remedy(smiles: str, message: str):
    with pytest.raises(CandidateError, match=rf"^list\.smi:7: candidate 'mine': .*{message}"):
        read_molecule(Candidate("mine", smiles, "list.smi:7"), "S")


@pytest.mark.parametrize("smiles", ["", "  "])
def test_empty_text_is_refused(smiles: str):
    with pytest.raises(CandidateError, match=r"list\.smi:7: candidate 'mine': .*; correct or remove"):
        read_molecule(Candidate("mine", smiles, "list.smi:7"), "S")


def test_the_absorber_is_the_edges():
    assert read_molecule(Candidate("x", "CCO"), "O").GetNumAtoms() == 9


def test_rdkit_prints_nothing(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(CandidateError):
        read_molecule(Candidate("x", "C1CS"), "S")
    assert capfd.readouterr() == ("", "")


def test_describe():
    assert describe(Candidate("a", "S", "list.csv:3")) == "list.csv:3: candidate 'a'"
    assert describe(Candidate("a", "S")) == "candidate 'a'"
