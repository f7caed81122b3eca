"""The Parquet file of core excitations: its columns, and reading and writing it as an Arrow table."""

import json
import os
import textwrap
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xas_bluesky.errors import DatasetError

FORMAT = "xas_bluesky core excitations 1"
KEY = b"xas_bluesky"
"""Where the schema's metadata holds, as JSON: the format, the meaning of the columns, the provenance."""

COLUMNS: dict[str, tuple[Any, str]] = {
    "name": (pa.string(), "unique name of the molecule"),
    "smiles": (pa.string(), "canonical SMILES; of a failure, as given where it cannot be read, or empty"),
    "failure": (pa.string(), "null when computed, else why not; the lists are empty then"),
    "number": (pa.list_(pa.uint8()), "atomic numbers"),
    "position_angstrom": (pa.list_(pa.float32()), "x, y, z of each atom in turn"),
    "site_atom": (pa.list_(pa.uint16()), "index of each absorber (site) in the molecule"),
    "site_ionization_eV": (pa.list_(pa.float32()), "minus the energy of the 1s orbital, uncalibrated"),
    "site_relaxation_eV": (pa.list_(pa.float32()), "relaxation energy of the other electrons, negative"),
    "site_sticks": (pa.list_(pa.uint16()), "number of excitations of each site"),
    "stick_energy_meV": (pa.list_(pa.int32()), "excitation energies of each site in turn, increasing, uncalibrated"),
    "stick_strength": (pa.list_(pa.float32()), "their oscillator strengths, to 8 binary digits"),
}
STORAGE: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 9,
    "use_dictionary": ["smiles", "failure"],
    "column_encoding": {
        "stick_energy_meV.list.element": "DELTA_BINARY_PACKED",
        "stick_strength.list.element": "BYTE_STREAM_SPLIT",
        "position_angstrom.list.element": "BYTE_STREAM_SPLIT",
    },
    "write_page_checksum": True,
}


def schema_with(provenance: Mapping[str, str]) -> Any:
    """Return the schema, with its description and this provenance in its metadata."""
    columns = {column: meaning for column, (_, meaning) in COLUMNS.items()}
    described = json.dumps({"format": FORMAT, "columns": columns, "provenance": dict(provenance)})
    return pa.schema([(column, kind) for column, (kind, _) in COLUMNS.items()], metadata={KEY: described})


def provenance_of(table: Any) -> dict[str, str]:
    """Return the provenance in a table's metadata."""
    return json.loads(table.schema.metadata[KEY])["provenance"]


def write_table(path: Path, table: Any) -> None:
    """Write a table, whole or not at all: it takes the target's name when it is complete on the disk.

    Raises DatasetError when the place cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            pq.write_table(table, file, **STORAGE)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from error
    finally:
        temporary.unlink(missing_ok=True)


def read_table(path: Path) -> Any:
    """Read a file that `write_table` wrote.

    Raises DatasetError when it is missing, broken, or no file of this format.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            found = json.loads((schema.metadata or {}).get(KEY, b"{}")).get("format")
            if found == FORMAT and schema.equals(schema_with({})):
                return file.read()
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such file; give a data set made by `xas-bluesky compute`") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = textwrap.shorten(str(error), 200)
        raise DatasetError(f"{path}: broken, or no Parquet file ({reason}); compute it again") from error
    raise DatasetError(f"{path}: its format is {found!r}, expected {FORMAT!r}; give a data set made by `xas-bluesky compute`")
