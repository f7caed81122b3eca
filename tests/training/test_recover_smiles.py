import csv
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from xas_bluesky.errors import CandidateError
from xas_bluesky.structures.smiles import same_molecule_key
from xas_bluesky.training.recover_smiles import bonding_class, oxidize, split_oxide_name

SET = Path(str(files("xas_bluesky"))) / "data" / "sulfur_k_tddft"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with (SET / "molecules.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Methionine-sulfone", ("Methionine", 2)),
        ("Thioxane_sulfone", ("Thioxane", 2)),
        ("Thiophene_oxide", ("Thiophene", 1)),
        ("Butylate_sulfoxide", ("Butylate", 1)),
        ("Pyroxasulfone", None),
        ("Erysulfoxide", None),
        ("Sulfoxide", None),
        ("Dapsone", None),
    ],
)
def test_split_oxide_name(name: str, parts: tuple[str, int] | None):
    assert split_oxide_name(name) == parts


@pytest.mark.parametrize(
    ("parent", "oxygens", "oxide"),
    [
        ("CSC", 1, "CS(C)=O"),
        ("CSC", 2, "CS(C)(=O)=O"),
        ("c1ccsc1C=O", 1, "S1(C(=CC=C1)C=O)=O"),
        ("c1cncs1", 2, "O=S1(=O)C=CN=C1"),
        ("c1ccc2c(c1)sc1ccccc12", 2, "O=S1(=O)c2ccccc2-c2ccccc21"),
        ("N[C@@H](CCSC)C(=O)O", 2, "N[C@@H](CCS(C)(=O)=O)C(=O)O"),
        ("COC(=S)NCSC", 1, "COC(=S)NCS(C)=O"),
    ],
)
def test_oxidize(parent: str, oxygens: int, oxide: str):
    assert oxidize(parent, oxygens) == Chem.CanonSmiles(oxide)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("smiles", ["CCO", "CSCSC", "CS(C)=O", "S=C=NC"])
def test_oxidize_refuses_what_the_name_does_not_settle(smiles: str):
    with pytest.raises(CandidateError, match="divalent sulfur"):
        oxidize(smiles, 1)


@pytest.mark.parametrize(
    ("smiles", "kind"),
    [
        ("CSC", "Type1"),
        ("c1cncs1", "Type1"),
        ("CN=C=S", "Type2"),
        ("S=c1cccc[nH]1", "Type2"),
        ("CS", "Type3"),
        ("Sc1ccccn1", "Type3"),
        ("CS(C)=O", "Type4"),
        ("O=S1C=CC=C1", "Type4"),
        ("CS(C)(=O)=O", "Type5"),
        ("CNS(=O)(=O)C", "Type5"),
    ],
)
def test_bonding_class(smiles: str, kind: str):
    assert bonding_class(smiles) == kind


@pytest.mark.parametrize(
    ("smiles", "message"),
    [
        ("NC(=S)N.C=C", "several separate parts"),
        ("C[S+](C)C", "charged"),
        ("CSSC", "2 sulfur atoms"),
        ("CCO", "0 sulfur atoms"),
        ("NC(N)=[SH]C", "none of the set's"),
        ("C1CC", "cannot be read"),
    ],
)
def test_bonding_class_says_what_is_wrong(smiles: str, message: str):
    with pytest.raises(CandidateError, match=message):
        bonding_class(smiles)


def test_the_rule_gives_the_oxides_that_were_named_independently(rows: list[dict[str, str]]):
    named = {row["name"].lower(): row["smiles"] for row in rows if row["origin"] == "OPSIN"}
    pairs = [
        (oxide, named[parts[0]], parts[1])
        for name, oxide in named.items()
        if (parts := split_oxide_name(name)) and parts[0] in named and bonding_class(oxide) != "Type1"
    ]
    assert len(pairs) > 60
    for oxide, parent, oxygens in pairs:
        assert oxidize(parent, oxygens) == oxide  # pyright: ignore[reportArgumentType]


def test_every_structure_of_the_set_has_the_class_it_is_listed_in(rows: list[dict[str, str]]):
    structures = [row for row in rows if row["smiles"]]
    assert len(rows) == 770
    assert len(structures) == 725
    for row in structures:
        assert row["type"] in (bonding_class(row["smiles"]), "TEST"), row["name"]
        assert row["smiles"] == Chem.CanonSmiles(row["smiles"])
    assert len({same_molecule_key(row["smiles"]) for row in structures}) == len(structures)
    assert all(row["origin"].startswith("none: ") == (not row["smiles"]) for row in rows)


def test_sticks_belong_to_the_molecules_and_are_on_one_scale(rows: list[dict[str, str]]):
    with np.load(SET / "sticks.npz", allow_pickle=False) as sticks:
        assert list(sticks["name"]) == [row["name"] for row in rows]
        ends = np.cumsum(sticks["n_sticks"])
        energy = sticks["energy"].astype(np.float64) + sticks["energy_offset"]
        near_edge = np.where(energy < 2431.0, sticks["strength"], 0.0)
        totals = np.array([part.sum() for part in np.split(near_edge, ends[:-1])])
        assert ends[-1] == len(energy) == len(sticks["strength"])
        assert energy[0] == pytest.approx(2420.2098, abs=1e-3)
        scaled = sticks["scale"] < 1
    assert scaled.sum() == 219
    assert np.median(totals[scaled]) == pytest.approx(np.median(totals[~scaled]), rel=0.05)
    assert totals.max() < 0.026
