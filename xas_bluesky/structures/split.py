"""The fixed split of molecules into training, test and blind test sets."""

import hashlib
from typing import Final, Literal

from rdkit import Chem

from xas_bluesky.structures.smiles import parse_smiles

Part = Literal["blind", "test", "train"]

BLIND_BELOW: Final = 10
TEST_BELOW: Final = 20


def split(smiles: str) -> Part:
    """Say which part a molecule belongs to, by a hash of its canonical SMILES: 10 % blind, 10 % test, the rest train.

    A blind molecule is never trained on, nor is anything chosen on it. Two spellings of one molecule agree, two
    stereoisomers may not. Raises CandidateError when the SMILES does not parse.
    """
    digest = hashlib.sha256(("xas" + Chem.MolToSmiles(parse_smiles(smiles))).encode()).hexdigest()
    residue = int(digest, 16) % 100
    if residue < BLIND_BELOW:
        return "blind"
    return "test" if residue < TEST_BELOW else "train"
