"""The fixed split of molecules and materials into training, validation, test and blind test sets."""

import hashlib
from typing import Final, Literal

from rdkit import Chem

from xas_bluesky.structures.smiles import parse_smiles

Part = Literal["blind", "test", "train"]

BLIND_BELOW: Final = 10
TEST_BELOW: Final = 20
VALIDATION_BELOW: Final = 30


def residue(key: str) -> int:
    """Return a number from 0 to 99 that is fixed by the text."""
    return int(hashlib.sha256(("xas" + key).encode()).hexdigest(), 16) % 100


def split(smiles: str) -> Part:
    """Say which part a molecule belongs to, by a hash of its canonical SMILES: 10 % blind, 10 % test, the rest train.

    A blind molecule is never trained on, nor is anything chosen on it. Two spellings of one molecule agree, two
    stereoisomers may not. Raises CandidateError when the SMILES does not parse.
    """
    number = residue(Chem.MolToSmiles(parse_smiles(smiles)))
    if number < BLIND_BELOW:
        return "blind"
    return "test" if number < TEST_BELOW else "train"


def validates(key: str) -> bool:
    """Say whether what may be trained on is kept from the networks, to choose and calibrate with.

    `key`: a molecule's canonical SMILES or a material's identifier.
    """
    return TEST_BELOW <= residue(key) < VALIDATION_BELOW
