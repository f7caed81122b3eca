import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xas_bluesky.errors import DatasetError
from xas_bluesky.theory.dataset import (
    Dataset,
    Result,
    concatenate,
    dataset_of,
    merge_datasets,
    read_dataset,
    write_dataset,
)
from xas_bluesky.theory.sticks import ComputedMolecule, Sticks

PROVENANCE = {"method": "PBE0-1/3 CVS-TDA", "licence": "CC0"}
NUMBERS = {"C": 6, "O": 8, "S": 16}


def site(atom: int, element: str, seed: int, count: int = 40) -> Sticks:
    random = np.random.default_rng(seed)
    energy = 2460 + np.sort(random.uniform(0, 60, count))
    return Sticks(atom, element, energy, 10 ** random.uniform(-6, -1, count), 2431.25 + seed, -30.5 - seed)


def molecule(elements: str, seed: int) -> ComputedMolecule:
    random = np.random.default_rng(seed)
    numbers = np.array([*(NUMBERS[element] for element in elements), 1, 1])
    sites = tuple(site(atom, element, seed + atom, 30 + atom) for atom, element in enumerate(elements))
    return ComputedMolecule(f"smiles {seed}", numbers, random.normal(size=(len(numbers), 3)), sites)


def computed(name: str, elements: str, seed: int) -> Result:
    return Result(name, f"smiles {seed}", molecule(elements, seed), None)


RESULTS = [
    computed("methanethiol", "CS", 1),
    Result("odd", "C[CH2]", None, "open shell"),
    computed("water", "O", 5),
    computed("thioacetic acid", "CSOC", 9),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "set.parquet", RESULTS, PROVENANCE)
    return tmp_path / "set.parquet"


def equal(first: Dataset, second: Dataset) -> bool:
    names = [name for name in Dataset.__slots__ if name not in ("failures", "provenance")]
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in names)


def test_what_was_written_is_read(path: Path) -> None:
    found = read_dataset(path)
    molecules = [result.molecule for result in RESULTS if result.molecule]
    sites = [site for molecule in molecules for site in molecule.sites]
    assert found.name.tolist() == ["methanethiol", "water", "thioacetic acid"]
    assert found.smiles.tolist() == ["smiles 1", "smiles 5", "smiles 9"]
    assert found.failures == {"odd": RESULTS[1]}
    assert found.provenance == PROVENANCE
    assert found.numbers.tolist() == [number for molecule in molecules for number in molecule.numbers]
    np.testing.assert_allclose(found.positions, np.vstack([molecule.positions for molecule in molecules]), atol=1e-6)
    assert found.site_molecule.tolist() == [0, 0, 1, 2, 2, 2, 2]
    assert found.site_atom.tolist() == [site.atom for site in sites]
    assert found.site_number.tolist() == [NUMBERS[site.element] for site in sites]
    assert found.site_sticks.tolist() == [len(site.energy) for site in sites]
    np.testing.assert_allclose(found.site_ionization, [site.ionization for site in sites], atol=3e-4)
    np.testing.assert_allclose(found.site_relaxation, [site.relaxation for site in sites], atol=1e-5)
    np.testing.assert_allclose(found.energy, np.concatenate([site.energy for site in sites]), rtol=0, atol=0.00051)
    np.testing.assert_allclose(found.strength, np.concatenate([site.strength for site in sites]), rtol=0.004)


def test_in_memory_as_from_a_file(path: Path) -> None:
    assert equal(dataset_of(RESULTS, PROVENANCE), read_dataset(path))


def test_zero_strengths_stay_zero() -> None:
    sticks = Sticks(0, "O", np.array([540.0, 541.0]), np.array([0.0, 0.5]), 510.0, -20.0)
    water = ComputedMolecule("O", np.array([8, 1, 1]), np.zeros((3, 3)), (sticks,))
    assert dataset_of([Result("water", "O", water, None)], {}).strength.tolist() == [0, 0.5]


def test_only_failures_and_molecules_without_sites() -> None:
    bare = Result("hydrogen", "[H][H]", ComputedMolecule("[H][H]", np.array([1, 1]), np.zeros((2, 3)), ()), None)
    assert len(dataset_of([RESULTS[1]], {})) == 0
    found = dataset_of([bare, RESULTS[0]], {})
    assert found.site_molecule.tolist() == [1, 1]
    assert found.select([0]).energy.size == 0


def test_a_site_keeps_its_sticks_through_select_and_concatenate() -> None:
    whole = dataset_of(RESULTS, PROVENANCE)
    turned = whole.select([2, 0])
    by_mask = whole.select(np.array([True, False, True]))
    assert turned.name.tolist() == ["thioacetic acid", "methanethiol"]
    assert by_mask.name.tolist() == ["methanethiol", "thioacetic acid"]
    assert equal(by_mask, turned.select([1, 0]))
    assert equal(concatenate([whole.select([0]), whole.select([1, 2])]), whole)
    sulfur = turned.of_element("S")
    assert turned.site_molecule[sulfur].tolist() == [0, 1]
    expected = np.concatenate([molecule("CSOC", 9).sites[1].energy, molecule("CS", 1).sites[1].energy])
    np.testing.assert_allclose(turned.energy[turned.sticks_of(sulfur)], expected, atol=0.00051)
    assert turned.positions.shape == (10, 3)


def test_parts_merge_into_the_whole(path: Path, tmp_path: Path) -> None:
    parts = [tmp_path / f"part {number}.parquet" for number in range(len(RESULTS))]
    for part, result in zip(parts, RESULTS, strict=True):
        write_dataset(part, [result], PROVENANCE)
    merged = tmp_path / "merged.parquet"
    merge_datasets(parts, merged)
    assert equal(read_dataset(merged), read_dataset(path))
    assert read_dataset(merged).failures == {"odd": RESULTS[1]}


def test_a_repeated_molecule_replaces_its_failure(path: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "again.parquet", [computed("odd", "C", 3)], PROVENANCE | {"version": "2"})
    merge_datasets([path, tmp_path / "again.parquet"], path)
    found = read_dataset(path)
    assert found.name.tolist() == ["methanethiol", "water", "thioacetic acid", "odd"]
    assert found.failures == {}
    assert found.provenance == PROVENANCE | {"version": "2"}


def test_differing_provenance_is_named_once_each(path: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "other.parquet", [computed("other", "C", 3)], PROVENANCE | {"licence": "MIT"})
    for _ in range(2):
        merge_datasets([path, tmp_path / "other.parquet"], path)
    assert read_dataset(path).provenance == PROVENANCE | {"licence": "CC0; MIT"}


def test_a_file_describes_itself(path: Path) -> None:
    described = pq.read_schema(path).metadata[b"xas_bluesky"].decode()
    assert "core excitations 1" in described
    assert "oscillator strengths" in described


def test_size_per_stick(tmp_path: Path) -> None:
    """11,000 molecules of 9 sites of 120 sticks have to stay below 50 MB: 4.2 bytes a stick, all else included."""
    molecules = [
        ComputedMolecule(
            "",
            np.array([6] * 9 + [1] * 9),
            molecule("C" * 16, seed).positions,
            tuple(site(0, "C", seed + k, 120) for k in range(9)),
        )
        for seed in range(40)
    ]
    write_dataset(tmp_path / "set", [Result(str(n), "", one, None) for n, one in enumerate(molecules)], {})
    assert (tmp_path / "set").stat().st_size / (40 * 9 * 120) < 4.2


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda whole: whole[: len(whole) // 2], id="truncated"),
        pytest.param(lambda whole: whole[:900] + bytes(20) + whole[920:], id="overwritten"),
        pytest.param(lambda whole: whole[:0], id="empty"),
        pytest.param(lambda whole: whole.hex().encode(), id="foreign"),
    ],
)
def test_spoiled_files(path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DatasetError, match=r"set\.parquet: broken"):
        read_dataset(path)


def test_other_parquet_files(path: Path) -> None:
    pq.write_table(pa.table({"name": ["water"]}), path)
    with pytest.raises(DatasetError, match="format is None"):
        read_dataset(path)
    newer = pq.read_table(path).replace_schema_metadata({"xas_bluesky": '{"format": "xas_bluesky core excitations 2"}'})
    pq.write_table(newer, path)
    with pytest.raises(DatasetError, match="excitations 2', expected 'xas_bluesky core excitations 1"):
        read_dataset(path)


def test_missing_file_and_place(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        read_dataset(tmp_path / "none.parquet")
    with pytest.raises(DatasetError, match="no such file"):
        merge_datasets([tmp_path / "none.parquet"], tmp_path / "target.parquet")
    with pytest.raises(DatasetError, match="nothing to merge"):
        merge_datasets([], tmp_path / "target.parquet")
    with pytest.raises(DatasetError, match="cannot be written"):
        write_dataset(tmp_path / "nowhere" / "set.parquet", RESULTS, PROVENANCE)


def test_results_that_cannot_be_kept() -> None:
    with pytest.raises(DatasetError, match="'water': the name occurs more than once"):
        dataset_of([computed("water", "O", 1), computed("water", "O", 1)], {})
    with pytest.raises(DatasetError, match="either"):
        Result("water", "O", None, None)
    broken = Sticks(0, "O", np.array([540.0]), np.array([np.nan]), 510.0, -20.0)
    with pytest.raises(DatasetError, match="'water': some core excitations are not finite"):
        Result("water", "O", ComputedMolecule("O", np.array([8]), np.zeros((1, 3)), (broken,)), None)


def test_a_failed_write_leaves_the_old_file(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DatasetError, match="No space left on device"):
        write_dataset(path, RESULTS[:1], PROVENANCE)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_reading_needs_no_engine() -> None:
    heavy = (
        "import sys, xas_bluesky.theory.dataset; print([m for m in ('pyscf', 'tblite', 'ray', 'torch') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
