"""Candidates from .smi, .csv, .sdf, .xyz, .cif and POSCAR files."""

import csv
import math
import re
from itertools import pairwise
from pathlib import Path

from xas_bluesky.candidates import Candidate, Format
from xas_bluesky.errors import CandidateError
from xas_bluesky.files.lines import read_lines

NumberedLines = list[tuple[int, str]]
Record = tuple[int, str, str]
"""The number of a structure's first line, its title, its text."""
POSCAR_NAMES = ("POSCAR", "CONTCAR")


def read_candidates(path: str | Path) -> tuple[Candidate, ...]:
    """Read candidates from a .smi, .csv, .sdf, .xyz or .cif file, or a POSCAR (.poscar, .vasp, or POSCAR… or CONTCAR…).

    .smi: SMILES, then a name, by default the SMILES; .csv: columns name and smiles; blank lines and lines starting with #
    are passed over in both. .sdf: the name is the title line; .xyz: one frame or many, positions in Å, the name is the
    comment line unless it is an extended-XYZ header; .cif: each data block with atom sites, by its name. Without a name
    such a structure is called after the file, with its number where there are several; so is a POSCAR, unless the file is
    called just POSCAR or CONTCAR, where its first line is the name. Raises CandidateError, naming file and line; whether a
    structure makes sense is found out where it is built.
    """
    path = Path(path)
    parse = {
        ".smi": _parse_smi,
        ".csv": _parse_csv,
        ".sdf": _parse_sdf,
        ".xyz": _parse_xyz,
        ".cif": _parse_cif,
        ".poscar": _parse_poscar,
        ".vasp": _parse_poscar,
    }.get(path.suffix.lower())
    if parse is None and path.name.upper().startswith(POSCAR_NAMES):
        parse = _parse_poscar
    if parse is None:
        raise CandidateError(
            f"{path}: unknown ending {path.suffix!r}; give a .smi, .csv, .sdf, .xyz, .cif, .poscar or .vasp file"
        )
    candidates = parse(path, list(enumerate(read_lines(path, CandidateError), 1)))
    if not candidates:
        raise CandidateError(f"{path}: the file names no candidate; write at least one")
    first: dict[str, Candidate] = {}
    for candidate in candidates:
        earlier = first.setdefault(candidate.name, candidate)
        if earlier is not candidate:
            raise CandidateError(
                f"{candidate.source}: the name {candidate.name!r} is taken already ({earlier.source}); give every "
                "candidate a name of its own"
            )
    return tuple(candidates)


def _without_comments(lines: NumberedLines) -> NumberedLines:
    return [(number, line) for number, line in lines if line.strip() and not line.lstrip().startswith("#")]


def _parse_smi(path: Path, lines: NumberedLines) -> list[Candidate]:
    words = [(number, line.split(maxsplit=1)) for number, line in _without_comments(lines)]
    return [Candidate(parts[-1].strip(), parts[0], f"{path}:{number}") for number, parts in words]


def _parse_csv(path: Path, lines: NumberedLines) -> list[Candidate]:
    given = _without_comments(lines)
    rows = [(n, [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True))]) for n, line in given]
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


def _parse_sdf(path: Path, lines: NumberedLines) -> list[Candidate]:
    records: list[Record] = []
    block: list[str] = []
    for number, line in [*lines, (len(lines) + 1, "$$$$")]:
        if line.startswith("$$$$"):
            if any(text.strip() for text in block):
                records.append((number - len(block), block[0].strip(), _mol_block(block)))
            block = []
        else:
            block.append(line)
    return _named(path, records, "mol")


def _mol_block(record: list[str]) -> str:
    """Leave the data items, which follow the structure, out."""
    end = next((at for at, line in enumerate(record) if line.startswith("M  END")), len(record))
    return "\n".join([*record[: end + 1], ""])


def _parse_xyz(path: Path, lines: NumberedLines) -> list[Candidate]:
    records: list[Record] = []
    at = 0
    while at < len(lines):
        number, line = lines[at]
        if not line.strip():
            at += 1
            continue
        if not line.strip().isdecimal() or int(line) == 0:
            raise CandidateError(f"{path}:{number}: expected the number of atoms of a frame, got {line.strip()!r}; correct it")
        comment, atoms = [text for _, text in lines[at + 1 : at + 2]], lines[at + 2 : at + 2 + int(line)]
        if len(atoms) < int(line):
            raise CandidateError(f"{path}:{number}: {int(line)} atoms are announced, {len(atoms)} follow; complete the frame")
        title = "" if "Properties=" in comment[0] else comment[0].strip()
        rows = [_atom_row(path, *atom) for atom in atoms]
        records.append((number, title, "\n".join([str(len(rows)), title, *rows, ""])))
        at += 2 + len(atoms)
    return _named(path, records, "xyz")


def _atom_row(path: Path, number: int, line: str) -> str:
    """Return element and position, without the columns that some programs add."""
    cells = line.split()[:4]
    try:
        finite = [math.isfinite(float(cell)) for cell in cells[1:]] == [True] * 3
    except ValueError:
        finite = False
    if not finite or not cells[0].isalpha():
        raise CandidateError(f"{path}:{number}: expected an element and x, y, z in Å, got {line.strip()!r}; correct the atom")
    return " ".join([cells[0].capitalize(), *cells[1:]])


def _parse_cif(path: Path, lines: NumberedLines) -> list[Candidate]:
    heads: list[int] = []
    in_text = False
    for at, (_, line) in enumerate(lines):
        if line.startswith(";"):
            in_text = not in_text
        elif not in_text and line.lstrip().lower().startswith("data_"):
            heads.append(at)
    records: list[Record] = []
    for head, end in pairwise([*heads, len(lines)]):
        block = [line for _, line in lines[head:end]]
        if any(re.match(r"\s*_atom_site[_.]", line, re.IGNORECASE) for line in block):
            records.append((lines[head][0], block[0].strip()[len("data_") :], "\n".join([*block, ""])))
    if not records:
        raise CandidateError(f"{path}: no data block (data_…) with atom sites (_atom_site_…) is in it; complete the CIF")
    return _named(path, records, "cif")


def _parse_poscar(path: Path, lines: NumberedLines) -> list[Candidate]:
    text = [line for _, line in lines]
    if not any(line.strip() for line in text):
        return []
    title = text[0].strip() if path.stem.upper() in POSCAR_NAMES else ""
    return _named(path, [(1, title, "\n".join([*text, ""]))], "poscar")


def _named(path: Path, records: list[Record], form: Format) -> list[Candidate]:
    return [
        Candidate(title or (f"{path.stem}:{n}" if len(records) > 1 else path.stem), text, f"{path}:{line}", form)
        for n, (line, title, text) in enumerate(records, 1)
    ]
