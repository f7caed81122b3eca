import pytest

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CandidateError
from xas_bluesky.structures import identify

SALT = """rock salt
1.0
0 2.82 2.82
2.82 0 2.82
2.82 2.82 0
Na Cl
1 1
direct
0 0 0
0.5 0.5 0.5
"""


@pytest.mark.parametrize(
    ("structure", "inchikey", "formula"),
    [
        ("CS(=O)(=O)CCC(N)C(=O)O", "UCUNFLYVYCGDHP-UHFFFAOYSA-N", "C5H11NO4S"),
        ("OC(=O)C(N)CCS(C)(=O)=O", "UCUNFLYVYCGDHP-UHFFFAOYSA-N", "C5H11NO4S"),
        ("C[S+]([O-])C", "IAZDPXIOMUYVGZ-UHFFFAOYSA-N", "C2H6OS"),
        ("C[S-]", "LSDPWZHWYPCBBB-UHFFFAOYSA-M", "CH3S-"),
    ],
)
def test_a_molecule_is_the_same_however_it_is_written(structure, inchikey, formula):
    assert identify([Candidate("it", structure)]) == [(inchikey, formula)]


def test_a_crystal_has_a_reduced_formula_only():
    doubled = SALT.replace("0 2.82 2.82\n", "0 5.64 5.64\n").replace("1 1\n", "2 2\n")
    doubled = doubled.replace("0 0 0\n0.5 0.5 0.5\n", "0 0 0\n0.5 0 0\n0.25 0.5 0.5\n0.75 0.5 0.5\n")
    crystals = [Candidate(name, text, format="poscar") for name, text in (("one", SALT), ("two", doubled))]
    assert identify(crystals) == [("", "ClNa"), ("", "ClNa")]


def test_what_cannot_be_read_is_named():
    with pytest.raises(CandidateError, match=r"candidate 'torn': .* is not a valid SMILES"):
        identify([Candidate("torn", "C(")])
