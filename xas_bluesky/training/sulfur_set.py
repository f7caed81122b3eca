"""The published S K-edge set: sticks of organosulfur compounds, to compare theories with."""

import csv
import functools
import zipfile
from importlib.resources import files
from pathlib import Path

import numpy as np
from rdkit import Chem

from xas_bluesky.errors import SettingsError
from xas_bluesky.spectra import Array

SHIFT = 53.3
"""What the authors of the set add to their computed energies, eV."""
AUTHORS_TEST = "TEST"


def data_folder() -> Path:
    """Return the folder of the shipped set."""
    return Path(str(files("xas_bluesky") / "data" / "sulfur_k_tddft"))


def read_compounds(folder: Path) -> list[tuple[dict[str, str], Array, Array]]:
    """Return each compound's row (name, type, smiles), the energies (eV) of its sticks, with SHIFT, and their strengths.

    Raises SettingsError when the files are missing or broken, or do not belong together.
    """
    try:
        rows = _read_rows(folder)
        with (folder / "sticks.npz").open("rb") as file, np.load(file, allow_pickle=False) as sticks:
            counts = sticks["n_sticks"]
            energy = sticks["energy"].astype(np.float64) + sticks["energy_offset"] + SHIFT
            strength = sticks["strength"].astype(np.float64)
    except (OSError, LookupError, ValueError, zipfile.BadZipFile) as error:
        raise SettingsError(
            f"{folder}: the sulfur set cannot be read ({error}); give the folder of an unbroken one"
        ) from error
    if len(rows) != len(counts) or {len(energy), len(strength)} != {int(counts.sum())}:
        raise SettingsError(f"{folder}: {len(rows)} molecules but {len(counts)} sets of sticks; use files made together")
    ends = np.cumsum(counts)
    return list(zip(rows, np.split(energy, ends[:-1]), np.split(strength, ends[:-1]), strict=True))


@functools.cache
def authors_test() -> frozenset[str]:
    """Return the canonical SMILES of the molecules that the authors of the shipped set kept apart: never to be fitted to."""
    rows = _read_rows(data_folder())
    return frozenset(Chem.CanonSmiles(row["smiles"]) for row in rows if row["type"] == AUTHORS_TEST and row["smiles"])


def _read_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "molecules.csv").open(newline="", encoding="utf-8") as lines:
        return [{key: row[key] for key in ("name", "type", "smiles")} for row in csv.DictReader(lines)]
