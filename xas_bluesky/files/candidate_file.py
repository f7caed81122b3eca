"""Candidates from .smi and .csv files."""

import csv
from pathlib import Path

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CandidateError
from xas_bluesky.files.lines import read_lines

NumberedLines = list[tuple[int, str]]


def read_candidates(path: str | Path) -> tuple[Candidate, ...]:
    """Read candidates from a .smi file (SMILES, then a name) or a .csv file (columns name and smiles).

    In a .smi file the name defaults to the SMILES. Blank lines and lines starting with # are passed over. Raises
    CandidateError, naming file and line; whether a SMILES makes sense is found out where the structure is built.
    """
    path = Path(path)
    parse = {".smi": _parse_smi, ".csv": _parse_csv}.get(path.suffix.lower())
    if parse is None:
        raise CandidateError(f"{path}: unknown ending {path.suffix!r}; give a .smi or a .csv file")
    numbered = enumerate(read_lines(path, CandidateError), 1)
    candidates = parse(path, [(n, line) for n, line in numbered if line.strip() and not line.lstrip().startswith("#")])
    if not candidates:
        raise CandidateError(f"{path}: the file names no candidate; write one to a line")
    first: dict[str, Candidate] = {}
    for candidate in candidates:
        earlier = first.setdefault(candidate.name, candidate)
        if earlier is not candidate:
            raise CandidateError(
                f"{candidate.source}: the name {candidate.name!r} is taken already ({earlier.source}); give every "
                "candidate a name of its own"
            )
    return tuple(candidates)


def _parse_smi(path: Path, lines: NumberedLines) -> list[Candidate]:
    words = [(number, line.split(maxsplit=1)) for number, line in lines]
    return [Candidate(parts[-1].strip(), parts[0], f"{path}:{number}") for number, parts in words]


def _parse_csv(path: Path, lines: NumberedLines) -> list[Candidate]:
    rows = [(n, [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True))]) for n, line in lines]
    candidates: list[Candidate] = []
    header: list[str] = []
    for number, cells in rows:
        if not header:
            header = [cell.lower() for cell in cells]
            if not {"name", "smiles"} <= set(header):
                raise CandidateError(
                    f"{path}:{number}: the header reads {', '.join(cells)}; it needs the columns name and smiles"
                )
        elif len(cells) != len(header):
            raise CandidateError(
                f"{path}:{number}: {len(cells)} cells under {len(header)} columns; complete the row, and quote cells "
                "that hold a comma"
            )
        else:
            row = dict(zip(header, cells, strict=True))
            candidates.append(Candidate(row["name"], row["smiles"], f"{path}:{number}"))
    return candidates
