"""Sort candidates into those that can be predicted and those that cannot."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CandidateError
from xas_bluesky.structures import describe

Structure = TypeVar("Structure")


@dataclass(frozen=True, slots=True)
class Sorting:
    """Collect the candidates that are served, and why the others are rejected."""

    kept: list[Candidate] = field(default_factory=list[Candidate])
    rejected: list[str] = field(default_factory=list[str])

    def served(self, candidates: Sequence[Candidate], made: Iterable[Structure | str]) -> Generator[Structure]:
        """Pass on what was made of candidates; text instead says why nothing was.

        Raises CandidateError for a candidate with the name of one that is served.
        """
        taken: set[str] = set()
        for candidate, structure in zip(candidates, made, strict=True):
            if candidate.name in taken:
                raise CandidateError(f"{describe(candidate)}: another candidate has this name; make names unique")
            if isinstance(structure, str):
                self.rejected.append(structure)
            else:
                self.kept.append(candidate)
                taken.add(candidate.name)
                yield structure

    @property
    def names(self) -> list[str]:
        """Name the candidates that are served, in order."""
        return [candidate.name for candidate in self.kept]

    def check(self) -> None:
        """Raise CandidateError when none is served."""
        if not self.kept:
            raise CandidateError("; ".join(self.rejected) or "no candidate was given; name at least one structure")
