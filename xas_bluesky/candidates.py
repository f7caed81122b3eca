"""Candidates: named structures that may be the sample, as plain text."""

from dataclasses import dataclass
from typing import Literal

from xas_bluesky.errors import CandidateError

Format = Literal["smiles", "mol", "xyz", "cif", "poscar"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Name one structure that may be the sample.

    `structure` is the text of it: SMILES, a mol block (as in an .sdf file), an xyz block (positions in Å), a CIF data block
    or a POSCAR, as `format` says; `source` says where it was read ("file:line"), for messages.
    """

    name: str
    structure: str
    source: str = ""
    format: Format = "smiles"

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise CandidateError(f"{self.source or 'candidate'}: the name is empty; give every candidate a name")
