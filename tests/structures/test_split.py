import hashlib
from collections import Counter

import pytest
from rdkit import Chem

from xas_bluesky.errors import CandidateError
from xas_bluesky.structures.split import split


@pytest.mark.parametrize(
    ("smiles", "part"),
    [
        ("O=S(c1ccccc1)c1ccccc1", "blind"),
        ("CSCC[C@H](N)C(=O)O", "blind"),
        ("CS(C)(=O)=O", "test"),
        ("SCc1ccccc1", "test"),
        ("N[C@@H](CS)C(=O)O", "train"),
        ("c1ccsc1", "train"),
    ],
)
def test_known_molecules_stay_in_their_part(smiles: str, part: str):
    assert split(smiles) == part


@pytest.mark.parametrize(("smiles", "respelled"), [("CS(=O)C", "CS(C)=O"), ("S1C=CC=C1", "c1ccsc1"), ("OCC", "CCO")])
def test_spelling_does_not_matter(smiles: str, respelled: str):
    assert split(smiles) == split(respelled)


def test_follows_the_published_rule_over_many_molecules():
    chains = ["C" * n + end for n in range(1, 201) for end in ("S", "SC", "S(C)=O", "S(C)(=O)=O", "SS")]
    for smiles in chains:
        residue = int(hashlib.sha256(("xas" + Chem.CanonSmiles(smiles)).encode()).hexdigest(), 16) % 100
        assert split(smiles) == ("blind" if residue < 10 else "test" if residue < 20 else "train")
    shares = Counter(split(smiles) for smiles in chains)
    assert 70 < shares["blind"] < 130
    assert 70 < shares["test"] < 130


@pytest.mark.parametrize("smiles", ["", "C1CC", "not a molecule"])
def test_unreadable_smiles_is_said(smiles: str):
    with pytest.raises(CandidateError, match="cannot be read"):
        split(smiles)
