"""Candidates: named structures that may be the sample, as plain text."""

from dataclasses import dataclass

from xas_bluesky.errors import CandidateError


@dataclass(frozen=True, slots=True)
class Candidate:
    """Name one structure that may be the sample.

    `structure` is SMILES text; `source` says where it was read ("file:line"), for messages.
    """

    name: str
    structure: str
    source: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise CandidateError(f"{self.source or 'candidate'}: the name is empty; give every candidate a name")
