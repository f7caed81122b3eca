import pytest

from xas_bluesky.errors import CandidateError
from xas_bluesky.structures.smiles import parse_smiles, same_molecule_key


def test_same_molecule_key_ignores_stereochemistry_only():
    assert same_molecule_key("C[S@](=O)CC[C@H](N)C(=O)O") == same_molecule_key("OC(=O)C(N)CCS(C)=O")
    assert same_molecule_key("CCS") != same_molecule_key("CSC")


@pytest.mark.parametrize("smiles", ["", "C1CO", "sulfur"])
def test_what_is_no_smiles(smiles: str):
    with pytest.raises(CandidateError, match="cannot be read; correct it"):
        parse_smiles(smiles)
