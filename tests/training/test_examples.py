import gzip
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xas_bluesky.edges import find_edge
from xas_bluesky.errors import DatasetError
from xas_bluesky.structures.split import residue
from xas_bluesky.theory import read_dataset, site_spectra
from xas_bluesky.training.examples import ENERGY, GAUSSIAN, Example, hash_file, load_examples
from xas_bluesky.training.sulfur_set import authors_test


def test_a_molecule_has_its_computed_geometry_and_those_that_a_prediction_makes(examples: list[Example]):
    molecule = next(example for example in examples if example.source == "molecules")
    assert len(molecule.graphs) == 3
    assert molecule.predicted is molecule.graphs[1]
    assert len({graph.numbers.tobytes() for graph in molecule.graphs}) == 1
    assert set(molecule.targets) == {"S K"}


def test_a_crystal_has_one_graph_and_its_copper_sites(examples: list[Example]):
    crystal = next(example for example in examples if example.source == "crystals")
    assert crystal.predicted is crystal.graphs[0]
    targets = crystal.targets["Cu K"]
    assert (crystal.graphs[0].numbers[crystal.graphs[0].absorbers[targets.rows]] == 29).all()
    assert targets.spectra.shape == (len(targets.rows), len(ENERGY["Cu K"]))
    assert ENERGY["Cu K"][0] + targets.ionization[0] == pytest.approx(8980)
    assert 0.5 < targets.spectra[:, -50:].mean() < 1.5


def test_the_parts_are_those_of_the_hash(examples: list[Example]):
    for example in examples:
        number = residue(example.label)
        assert example.part == ("test" if 10 <= number < 20 else "validation" if 20 <= number < 30 else "train")
    assert Counter(example.part for example in examples) == {"train": 22, "validation": 22, "test": 22}


def test_a_site_spectrum_is_that_of_its_sticks_from_its_ionization_energy(tiny: list[Path], examples: list[Example]):
    dataset = read_dataset(tiny[0])
    example = next(example for example in examples if example.source == "molecules")
    place = dataset.name.tolist().index(example.name)
    edge = find_edge("S K")
    target = example.targets["S K"]
    grid = ENERGY["S K"] + target.ionization[0]
    _, spectra = site_spectra(dataset.select([place]), "S K", grid, GAUSSIAN["S K"])
    assert np.allclose(target.spectra[0], spectra[0] / edge.jump, atol=2e-3)


def test_what_the_authors_of_the_sulfur_set_kept_apart_is_never_trained_on():
    assert len(authors_test()) > 40
    found = load_examples([Path(__file__).parents[2] / "datasets" / "core_excitations" / "sulfur_k_tddft.parquet"])
    kept = [example for example in found if example.label in authors_test()]
    assert len(kept) > 30
    assert {example.part for example in kept} == {"authors_test"}


def test_a_molecule_whose_atoms_are_in_another_order_is_refused(tiny: list[Path], tmp_path: Path):
    """As when it was computed from positions: the elements may agree and the atoms be others."""
    table = pq.read_table(tiny[0])
    rows = table.to_pylist()
    row = next(row for row in rows if row["smiles"].startswith("C"))
    place = np.reshape(row["position_angstrom"], (-1, 3))
    carbons = [at for at, number in enumerate(row["number"]) if number == 6]
    place[carbons] = place[carbons[::-1]]
    row["position_angstrom"] = place.ravel().tolist()
    pq.write_table(pa.Table.from_pylist([row], schema=table.schema), tmp_path / "moved.parquet")
    with pytest.raises(
        DatasetError, match=r"its atoms are in another order than those of its SMILES; compute it from its SMILES"
    ):
        load_examples([tmp_path / "moved.parquet"])


def test_of_a_molecule_in_two_files_the_first_counts(tiny: list[Path], tmp_path: Path):
    shutil.copy(tiny[0], tmp_path / "again.parquet")
    found = load_examples([tiny[0], tmp_path / "again.parquet"])
    assert {example.source for example in found} == {"molecules"}


def test_only_some_edges(examples: list[Example]):
    assert all(not example.only(["O K"]).targets for example in examples)


def test_the_hash_follows_the_files(tiny: list[Path], tmp_path: Path):
    shutil.copytree(tiny[1], tmp_path / "crystals")
    assert hash_file(tmp_path / "crystals") == hash_file(tiny[1])
    (tmp_path / "crystals" / "sites.npz").write_bytes(b"")
    assert hash_file(tmp_path / "crystals") != hash_file(tiny[1])


def rewrite(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    with gzip.open(folder / "structures.json.gz", "rt") as file:
        structures = json.load(file)
    change(structures)
    with gzip.open(folder / "structures.json.gz", "wt") as file:
        json.dump(structures, file)


BREAKAGES: dict[str, Callable[[Path], object]] = {
    "no sites": lambda folder: (folder / "sites.npz").unlink(),
    "no structures": lambda folder: (folder / "structures.json.gz").unlink(),
    "sites cut": lambda folder: (folder / "sites.npz").write_bytes((folder / "sites.npz").read_bytes()[:500]),
    "sites pickled": lambda folder: (folder / "sites.npz").write_bytes(b"\x80\x04]."),
    "a structure missing": lambda folder: rewrite(folder, lambda structures: structures.popitem()),
    "other energies": lambda folder: np.savez(
        folder / "sites.npz", **{**dict(np.load(folder / "sites.npz")), "energy": np.arange(3.0)}
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_broken_crystals_are_refused(tiny: list[Path], tmp_path: Path, breakage: str):
    shutil.copytree(tiny[1], tmp_path / "crystals")
    BREAKAGES[breakage](tmp_path / "crystals")
    with pytest.raises(DatasetError, match="crystals: "):
        load_examples([tmp_path / "crystals"])


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"nowhere\.parquet"):
        load_examples([tmp_path / "nowhere.parquet"])
