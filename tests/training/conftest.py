import csv
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from xas_bluesky.structures import AtomGraph, environment
from xas_bluesky.structures.graphs import ATOM_FEATURES
from xas_bluesky.training import dataset
from xas_bluesky.training.dataset import Example


@pytest.fixture(scope="session")
def shipped() -> Path:
    return Path(str(files("xas_bluesky"))) / "data" / "sulfur_k_tddft"


@pytest.fixture(scope="session")
def rows(shipped: Path) -> list[dict[str, str]]:
    with (shipped / "molecules.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="session")
def examples(shipped: Path) -> list[Example]:
    """The whole set, its molecules without geometries, which take longer than all else."""

    def bare(molecule: Chem.Mol, absorber: str) -> AtomGraph:
        atoms = [atom for atom in molecule.GetAtoms() if atom.GetSymbol() == absorber]
        indices = np.array([atom.GetIdx() for atom in atoms])
        nowhere, nothing = np.zeros((0, 3), np.float32), np.zeros((0, ATOM_FEATURES), np.float32)
        return AtomGraph(np.zeros(0, np.int64), nowhere, nothing, indices, tuple(environment(atom) for atom in atoms))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "embed", lambda molecule, _where: molecule)
        patch.setattr(dataset, "molecular_graph", bare)
        return dataset.load_sulfur_set(shipped)


@pytest.fixture
def tiny(tmp_path: Path, shipped: Path, rows: list[dict[str, str]], examples: list[Example]) -> Path:
    """A folder with a few compounds of the shipped set: 12 thiols and 4 others to train on, 3 for each test, 3 blind."""
    wanted = [example for example in examples if example.part == "train"]
    thiols = {row["name"] for row in rows if row["type"] == "Type3"}
    names = [example.name for example in wanted if example.name in thiols][:12]
    names += [example.name for example in wanted if example.name not in thiols][:4]
    for part in ("test", "TEST"):
        names += [example.name for example in examples if example.part == part][:3]
    known = {example.name for example in examples}
    names += [row["name"] for row in rows if row["smiles"] and row["name"] not in known][:3]
    chosen = [place for place, row in enumerate(rows) if row["name"] in names]
    folder = tmp_path / "data"
    folder.mkdir()
    with (folder / "molecules.csv").open("w", newline="") as lines:
        writer = csv.DictWriter(lines, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows[place] for place in chosen)
    with np.load(shipped / "sticks.npz", allow_pickle=False) as sticks:
        ends = np.cumsum(sticks["n_sticks"])
        parts = {name: np.split(sticks[name], ends[:-1]) for name in ("energy", "strength")}
        np.savez(
            folder / "sticks.npz",
            n_sticks=sticks["n_sticks"][chosen],
            energy_offset=sticks["energy_offset"],
            **{name: np.concatenate([values[place] for place in chosen]) for name, values in parts.items()},
        )
    return folder
