"""Tables of named number columns in text files: XDI, csv, plain columns."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xas_bluesky.errors import SpectrumError
from xas_bluesky.files.lines import read_lines
from xas_bluesky.spectra import Array

COMMENT = "#"


@dataclass(frozen=True, slots=True)
class Column:
    """Name one column as its file does, in lower case; `unit` is empty where none is given."""

    name: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Hold one file: header `fields` (XDI's `# Name.tag: value`, names in lower case), columns, cells by row.

    `lines` (n,) says in which line of the file a row stands.
    """

    path: Path
    fields: dict[str, str]
    columns: tuple[Column, ...]
    lines: list[int]
    cells: list[list[str]]

    def find(self, name: str) -> int | None:
        """Find the position of the column called `name`."""
        return next((position for position, column in enumerate(self.columns) if column.name == name), None)

    def read(self, position: int) -> Array:
        """Read the column at `position` as (n,) numbers; raise SpectrumError for a cell that is no finite number."""
        values = np.empty(len(self.cells))
        for row, cells in enumerate(self.cells):
            values[row] = float(cells[position]) if _is_number(cells[position]) else np.nan
            if not np.isfinite(values[row]):
                raise SpectrumError(
                    f"{self.path}:{self.lines[row]}: {cells[position]!r} in column {self.columns[position].name!r} is "
                    "no finite number; correct or remove the line"
                )
        return values


def read_table(path: Path) -> Table:
    """Read a table whose columns are named by XDI fields, by a header line, or, if they are two, not at all.

    Two columns without names are energy and mu. Raises SpectrumError, naming file and line.
    """
    fields: dict[str, str] = {}
    comment: list[str] = []
    header: list[str] = []
    lines: list[int] = []
    rows: list[list[str]] = []
    for number, line in enumerate(read_lines(path, SpectrumError), 1):
        text = line.strip()
        cells = _split(text.lstrip(COMMENT))
        if not cells or (rows and text.startswith(COMMENT)):
            continue
        if field := re.match(r"#\s*(\w+\.\w+)\s*:\s*(.*)", text):
            fields.setdefault(field[1].lower(), field[2])
        elif text.startswith(COMMENT):
            comment = cells
        elif not rows and not any(_is_number(cell) for cell in cells):
            header = cells
        elif rows and len(cells) != len(rows[0]):
            raise SpectrumError(
                f"{path}:{number}: {len(cells)} columns, but {len(rows[0])} in line {lines[0]}; correct or remove the line"
            )
        else:
            lines.append(number)
            rows.append(cells)
    if not rows:
        raise SpectrumError(f"{path}: the file holds no numbers; give columns of energy and mu or detector readings")
    return Table(path, fields, _name_columns(path, fields, header, comment, len(rows[0])), lines, rows)


def _name_columns(path: Path, fields: dict[str, str], header: list[str], comment: list[str], width: int) -> tuple[Column, ...]:
    declared = [fields.get(f"column.{number}", "") for number in range(1, width + 1)]
    if any(declared):
        return tuple(map(_parse_label, declared))
    for labels in (header, comment):
        columns = tuple(map(_parse_label, labels))
        # a comment of as many words need not be a header
        if len(labels) == width and (labels is header or re.search("energy|angle", columns[0].name)):
            return columns
    if width == 2:
        return Column("energy"), Column("mu")
    raise SpectrumError(
        f"{path}: {width} columns without names; name them in a line above the numbers, as in 'energy_eV,i0,itrans'"
    )


def _parse_label(label: str) -> Column:
    """Split 'energy_eV', 'Energy (keV)' or XDI's 'energy eV || PV' into name and unit."""
    name, *rest = re.split(r"[\s()\[\]/]+", label.split("||")[0].strip().lower())
    if match := re.fullmatch(r"(\w+?)_+(k?ev)?", name):
        name, rest = match[1], [match[2]] if match[2] else rest
    return Column("energy" if name == "e" else name, rest[0] if rest else "")


def _split(text: str) -> list[str]:
    return [cell.strip(' \t"') for cell in text.split(",")] if "," in text else text.split()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
