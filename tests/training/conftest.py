import csv
import gzip
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from rdkit import Chem

from xas_bluesky.structures.split import residue
from xas_bluesky.training.examples import Example, load_examples

DATASETS = Path(__file__).parents[2] / "datasets"
EACH = 11
"""Structures of each part in the small data sets."""


@pytest.fixture(scope="session")
def shipped() -> Path:
    return Path(str(files("xas_bluesky"))) / "data" / "sulfur_k_tddft"


@pytest.fixture(scope="session")
def rows(shipped: Path) -> list[dict[str, str]]:
    with (shipped / "molecules.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def of_each_part(residues: list[int]) -> list[int]:
    """Return the first few places of each part: test, validation, train."""
    parts = [range(10, 20), range(20, 30), range(30, 100)]
    return sorted(place for part in parts for place in [at for at, number in enumerate(residues) if number in part][:EACH])


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A few computed molecules, with their S absorbers, and a few crystals of the project's data sets."""
    folder = tmp_path_factory.mktemp("tiny")
    table = pq.read_table(DATASETS / "core_excitations" / "sulfur.parquet")
    small = table.filter([smiles is not None and len(smiles) < 14 for smiles in table["smiles"].to_pylist()])
    chosen = of_each_part([residue(Chem.CanonSmiles(smiles)) for smiles in small["smiles"].to_pylist()])
    pq.write_table(small.take(chosen), folder / "molecules.parquet")

    with gzip.open(DATASETS / "cu_k_feff" / "structures.json.gz", "rt") as file:
        structures = json.load(file)
    names = sorted(structures, key=lambda name: len(structures[name]["poscar"]))[:300]
    kept = [names[place] for place in of_each_part([residue(name) for name in names])]
    crystals = folder / "crystals"
    crystals.mkdir()
    with gzip.open(crystals / "structures.json.gz", "wt") as file:
        json.dump({name: structures[name] for name in kept}, file)
    with np.load(DATASETS / "cu_k_feff" / "sites.npz", allow_pickle=False) as sites:
        of = np.isin(sites["material"], kept)
        arrays = {name: sites[name][of] for name in ("material", "site", "mu")}
        np.savez(crystals / "sites.npz", energy=sites["energy"], **arrays)
    return [folder / "molecules.parquet", crystals]


@pytest.fixture(scope="session")
def examples(tiny: list[Path]) -> list[Example]:
    return load_examples(tiny)
