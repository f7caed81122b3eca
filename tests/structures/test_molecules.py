import pytest
from rdkit import Chem
from rdkit.Chem import rdDepictor

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CandidateError
from xas_bluesky.structures import describe, embed, environment, read_molecule
from xas_bluesky.theory.geometry import relax


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


def test_one_of_several_absorbers_is_enough():
    assert read_molecule(Candidate("x", "CCO"), "N", "O").GetNumAtoms() == 9
    with pytest.raises(CandidateError, match="'CCO' holds no N or S, the absorbers of these edges; remove it"):
        read_molecule(Candidate("x", "CCO"), "N", "S")


BONDED = {
    "sulfoxide": "C[S@@](=O)CC",
    "amino acid": "N[C@@H](CS)C(=O)O",
    "thiophene": "Cc1scnc1C(=O)O",
    "sulfonamide and nitro group": "CNS(=O)(=O)c1ccc(F)c([N+](=O)[O-])c1",
    "thioester": "CCCSC(C)=O",
    "double bond": "C/C=C\\S",
    "isothiocyanate": "CN=C=S",
    "cyclic sulfoxide": "O=S1C=CN=C1Br",
    "nitrile oxide": "[O-][N+]#Cc1cc(Br)cs1",
    "zwitterion": "[NH3+][C@@H](CS)C(=O)[O-]",
    "cage": "O1CC2CC1(CS)C2",
    "phosphine oxide": "CP(C)(=O)CS",
    "disulfide": "CSSC",
}
MISPLACED = {BONDED["isothiocyanate"], BONDED["nitrile oxide"]}
"""The force field makes their multiple bonds as long as single ones."""


@pytest.mark.parametrize("smiles", BONDED.values(), ids=BONDED)
def test_positions_give_the_same_molecule(smiles: str):
    known = embed(read_molecule(Candidate("x", smiles), "S"), "x")
    if smiles in MISPLACED:
        known.GetConformer().SetPositions(relax(known))
    Chem.AssignStereochemistryFrom3D(known)
    place = known.GetConformer().GetPositions()
    for form, text in (("mol", Chem.MolToMolBlock(known)), ("xyz", Chem.MolToXYZBlock(known))):
        found = read_molecule(Candidate("x", text, "", form), "S")
        assert Chem.MolToSmiles(Chem.RemoveHs(found)) == Chem.MolToSmiles(Chem.RemoveHs(known))
        assert [atom.GetSymbol() for atom in found.GetAtoms()] == [atom.GetSymbol() for atom in known.GetAtoms()]
        assert found.GetConformer().GetPositions() == pytest.approx(place, abs=1e-4)
        assert [environment(atom) for atom in found.GetAtoms() if atom.GetSymbol() == "S"] == [
            environment(atom) for atom in known.GetAtoms() if atom.GetSymbol() == "S"
        ]


@pytest.mark.parametrize(("atoms", "length"), [("CO", 1.42), ("NN", 1.45), ("OO", 1.45), ("CS", 1.82), ("SS", 2.05)])
def test_atoms_whose_hydrogens_are_missing_are_no_molecule(atoms: str, length: float):
    text = f"2\n\n{atoms[0]} 0 0 0\n{atoms[1]} 0 0 {length}\n"
    with pytest.raises(CandidateError, match="no bonds of a neutral molecule with all its hydrogens fit its positions"):
        read_molecule(Candidate("x", text, "", "xyz"), *atoms)


def test_sulfur_may_have_six_neighbours():
    fluorine = "\n".join(
        f"F {1.56 * sign * (axis == 0)} {1.56 * sign * (axis == 1)} {1.56 * sign * (axis == 2)}"
        for axis in range(3)
        for sign in (-1, 1)
    )
    found = read_molecule(Candidate("x", f"7\n\nS 0 0 0\n{fluorine}\n", "", "xyz"), "S")
    assert Chem.MolToSmiles(found) == "FS(F)(F)(F)(F)F"


def test_a_flat_mol_block_is_a_graph():
    drawn = Chem.MolFromSmiles("N[C@@H](CS)C(=O)O")
    rdDepictor.Compute2DCoords(drawn)
    found = read_molecule(Candidate("x", Chem.MolToMolBlock(drawn), "", "mol"), "S")
    assert found.GetNumConformers() == 0
    written = read_molecule(Candidate("x", "N[C@@H](CS)C(=O)O"), "S")
    assert Chem.MolToSmiles(found, canonical=False) == Chem.MolToSmiles(written, canonical=False)


def bare(smiles: str, form: str) -> str:
    molecule = Chem.RemoveHs(embed(read_molecule(Candidate("x", smiles), "S"), "x"))
    return Chem.MolToMolBlock(molecule) if form == "mol" else Chem.MolToXYZBlock(molecule)


@pytest.mark.parametrize(
    ("form", "text", "message"),
    [
        ("mol", "", "it is not a valid mol block; correct"),
        ("mol", "x\n\n\n  2  1", "it is not a valid mol block; correct"),
        ("mol", bare("CCS", "mol"), "C1 lacks hydrogens; give positions for them too, or none at all"),
        ("xyz", bare("CCS", "xyz"), "no bonds of a neutral molecule with all its hydrogens fit its positions; correct"),
        ("xyz", bare("c1ccsc1", "xyz"), "no bonds of a neutral molecule with all its hydrogens fit"),
        ("xyz", "2\n\nS 0 0 0\nH 0 0 1.3\n", "no bonds of a neutral molecule"),
        ("xyz", "2\n\nFe 0 0 0\nS 0 0 2\n", "no bonds of a neutral molecule"),
        ("xyz", "1\n\nQq 0 0 0\n", "it is not a valid xyz block; correct"),
        ("xyz", "3\n\nO 0 0 0\nH 0 .757 .587\nH 0 -.757 .587\n", "it holds no S, the absorber of this edge"),
        ("xyz", "2\n\nNe 0 0 0\nAr 0 0 5\n", "no bonds of a neutral molecule"),
    ],
)
def test_positions_that_cannot_be_used_are_refused(form: str, text: str, message: str):
    with pytest.raises(CandidateError, match=rf"^list:7: candidate 'mine': {message}"):
        read_molecule(Candidate("mine", text, "list:7", form), "S")


def test_atoms_in_one_place_are_refused():
    molecule = embed(read_molecule(Candidate("x", "CS"), "S"), "x")
    molecule.GetConformer().SetPositions(molecule.GetConformer().GetPositions() * 0.1)
    with pytest.raises(CandidateError, match=r"atoms \d and \d are 0\.1\d Å apart; correct the positions"):
        read_molecule(Candidate("x", Chem.MolToMolBlock(molecule), "", "mol"), "S")


def test_rdkit_prints_nothing(capfd: pytest.CaptureFixture[str]):
    for form, text in (("smiles", "C1CS"), ("mol", "x\n\n\n  2  1"), ("xyz", "1\n\nQq 0 0 0\n")):
        with pytest.raises(CandidateError):
            read_molecule(Candidate("x", text, "", form), "S")
    assert capfd.readouterr() == ("", "")


def test_describe():
    assert describe(Candidate("a", "S", "list.csv:3")) == "list.csv:3: candidate 'a'"
    assert describe(Candidate("a", "S")) == "candidate 'a'"
