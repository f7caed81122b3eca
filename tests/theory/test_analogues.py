import csv
import gzip
import hashlib
from collections import Counter
from importlib.resources import files
from itertools import islice
from pathlib import Path

import pytest
from rdkit import Chem, rdBase

from xas_bluesky.errors import CandidateError
from xas_bluesky.theory import analogues as analogues_module
from xas_bluesky.theory.analogues import SHARES, in_fixed_order, sulfur_analogues

QM9 = Path(__file__).parents[2] / "datasets" / "qm9_smiles.csv.gz"
GROUPS = {
    "thiol": "[#6][SX2H]",
    "thioether": "[#6][SX2;A][#6]",
    "thiocarbonyl": "[#6]=[SX1]",
    "thiophene": "s",
    "sulfoxide": "[#6][SX3](=O)[#6]",
    "sulfone": "[#6]S(=O)(=O)[#6]",
    "sulfonic-acid": "[#6]S(=O)(=O)[OX2H]",
    "disulfide": "[#6][SX2][SX2][#6]",
    "sulfonyl": "[#6][$([SX4](=O)(=O)[#7,OX2H0]),$([SX3](=O)[OX2])]",
    "two-sulfur": "[#16].[#16]",
    "combined": "[#16][#6]",
}


@pytest.fixture(scope="module")
def molecules() -> list[str]:
    with gzip.open(QM9, "rt") as lines:
        return in_fixed_order(row["smiles"] for row in islice(csv.DictReader(lines), 0, None, 40))


@pytest.fixture(scope="module")
def analogues(molecules: list[str]) -> list[tuple[str, str]]:
    return list(islice(sulfur_analogues(molecules), 400))


def residue(smiles: str) -> int:
    return int(hashlib.sha256(("xas" + Chem.CanonSmiles(smiles)).encode()).hexdigest(), 16) % 100


def test_qm9_comes_in_the_order_of_digests_whatever_the_input_order(molecules: list[str]):
    assert in_fixed_order(reversed(molecules)) == molecules
    assert molecules == sorted(set(molecules), key=lambda smiles: hashlib.sha256(smiles.encode()).hexdigest())
    assert [Chem.CanonSmiles(smiles) for smiles in molecules] == molecules
    assert 2500 < len(molecules) < 3300, "about nine in ten of every fortieth"


def test_blind_molecules_are_in_neither_list(molecules: list[str], analogues: list[tuple[str, str]]):
    assert min(residue(smiles) for smiles in molecules) == 10
    assert min(residue(smiles) for _, smiles in analogues) == 10


@pytest.mark.parametrize("smiles", ["[CH3]", "C[NH3+]", "C[NH2+]CC([O-])=O", "[O]C", "C[C+]([O-])[O-]"])
def test_radicals_ions_and_zwitterions_are_left_out(smiles: str):
    assert in_fixed_order([smiles, "CCO", "OCC"]) == ["CCO"]


def test_nitro_groups_stay_in_qm9_but_give_no_sulfur_compound():
    nitro = "CC([N+](=O)[O-])CCO"
    assert residue(nitro) >= 10
    assert in_fixed_order([nitro]) == [Chem.CanonSmiles(nitro)]
    assert {kind for kind, _ in islice(sulfur_analogues([nitro]), 50)} == {"combined"}


@pytest.mark.parametrize("shorten", [in_fixed_order, lambda smiles: next(sulfur_analogues(smiles))])
@pytest.mark.parametrize("smiles", ["C1CC", "", "water"])
def test_unreadable_smiles_is_said(shorten, smiles: str):
    with pytest.raises(CandidateError, match=f"'{smiles}': cannot be read"):
        shorten([smiles])


@pytest.mark.parametrize(
    ("base", "kind", "made"),
    [
        ("COc1ccccc1", "thioether", "CSc1ccccc1"),
        ("COc1ccccc1", "sulfoxide", "CS(=O)c1ccccc1"),
        ("CC(C)=O", "thiocarbonyl", "CC(C)=S"),
        ("CC(N)=O", "thiocarbonyl", "CC(N)=S"),
        ("COC", "thioether", "CSC"),
        ("COC", "sulfoxide", "CS(C)=O"),
        ("COC", "sulfone", "CS(C)(=O)=O"),
        ("COC", "disulfide", "CSSC"),
        ("CCO", "thiol", "CCS"),
        ("CO", "disulfide", "CSSC"),
        ("Oc1ccccc1", "sulfonic-acid", "O=S(=O)(O)c1ccccc1"),
        ("c1ccoc1", "thiophene", "c1ccsc1"),
        ("Cc1cc[nH]c1", "thiophene", "Cc1ccsc1"),
        ("c1cocn1", "thiophene", "c1cscn1"),
        ("CC(N)=O", "sulfonyl", "CS(N)(=O)=O"),
        ("CC(=O)O", "sulfonyl", "CS(=O)O"),
        ("COC(C)=O", "sulfonyl", "COS(C)=O"),
    ],
)
def test_known_pairs(base: str, kind: str, made: str):
    found = [smiles for name, smiles in islice(sulfur_analogues([base]), 50) if name == kind]
    assert found == [made]


@pytest.mark.parametrize("kind", SHARES)
def test_each_compound_has_the_group_of_its_class(analogues: list[tuple[str, str]], kind: str):
    pattern = Chem.MolFromSmarts(GROUPS[kind])
    members = [smiles for name, smiles in analogues if name == kind]
    assert members
    assert all(Chem.MolFromSmiles(smiles).HasSubstructMatch(pattern) for smiles in members)


def test_sulfur_compounds_are_small_neutral_and_all_different(analogues: list[tuple[str, str]]):
    smiles = [smiles for _, smiles in analogues]
    found = [Chem.MolFromSmiles(text) for text in smiles]
    assert len(set(smiles)) == len(smiles) == 400
    assert [Chem.MolToSmiles(molecule) for molecule in found] == smiles
    assert max(molecule.GetNumAtoms() for molecule in found) <= 14
    assert {atom.GetSymbol() for molecule in found for atom in molecule.GetAtoms()} <= {"C", "N", "O", "F", "S"}
    assert not any(atom.GetFormalCharge() or atom.GetNumRadicalElectrons() for mol in found for atom in mol.GetAtoms())


def test_every_part_of_the_list_is_mixed_alike(analogues: list[tuple[str, str]]):
    for start in (0, 100, 200, 300):
        counts = Counter(kind for kind, _ in analogues[start : start + 100])
        assert all(abs(counts[kind] - share) <= 1 for kind, share in SHARES.items())


def test_the_list_is_the_same_every_time_and_a_longer_base_keeps_its_beginning(molecules, analogues):
    assert list(islice(sulfur_analogues(molecules), 100)) == analogues[:100]
    assert list(islice(sulfur_analogues(molecules[:1500]), 100)) == analogues[:100]


def test_the_published_test_set_and_the_measured_compounds_are_kept_apart(monkeypatch):
    with (files("xas_bluesky") / "data/sulfur_k_tddft/molecules.csv").open() as lines:
        apart = {row["smiles"] for row in csv.DictReader(lines) if row["type"] == "TEST" and row["smiles"]}
    apart |= {"NC(CS)C(=O)O", "CCCCCCCCCCCCS", "CS(=O)(=O)CCC(N)C(=O)O", "O=S(c1ccccc1)c1ccccc1"}
    with rdBase.BlockLogs():  # where sulfur is oxidized, oxygen cannot stand
        bases = [text for smiles in sorted(apart) if Chem.MolFromSmiles(text := smiles.replace("S", "O").replace("s", "o"))]
    made = {smiles for _, smiles in sulfur_analogues(bases)}
    assert not made & apart
    monkeypatch.setattr(analogues_module, "_kept_apart", set)
    assert len({smiles for _, smiles in sulfur_analogues(bases)} & apart) > 10
