"""Core excitations of many molecules: one Parquet file, and flat arrays in memory (docs/decisions/0007)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xraydb
from numpy.typing import NDArray

from xas_bluesky.errors import DatasetError
from xas_bluesky.spectra import Array
from xas_bluesky.theory.parquet_file import COLUMNS, provenance_of, read_table, schema_with, write_table
from xas_bluesky.theory.sticks import ComputedMolecule

STRENGTH_DIGITS = 8
"""Binary digits kept of a strength: a relative error below 0.4 % at less than half the size."""


@dataclass(frozen=True, slots=True)
class Result:
    """Hold what became of one molecule: its core excitations, or why there are none (`failure`).

    `smiles`: canonical; of a failure, as it was given where it cannot be read, empty where positions cannot.
    """

    name: str
    smiles: str
    molecule: ComputedMolecule | None
    failure: str | None

    def __post_init__(self) -> None:
        if (self.molecule is None) == (self.failure is None):
            raise DatasetError(f"molecule {self.name!r}: expected either core excitations or the reason of a failure")
        sites = self.molecule.sites if self.molecule else ()
        if not all(np.isfinite([*site.energy, *site.strength, site.ionization, site.relaxation]).all() for site in sites):
            raise DatasetError(f"molecule {self.name!r}: some core excitations are not finite; record it as a failure")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Hold the core excitations of m molecules with a atoms, s sites and k sticks in flat arrays.

    Molecules: `name`, `smiles`, `atoms` (number of atoms), (m,). Atoms, molecule by molecule: `numbers` (a,), `positions`
    (a, 3) Å. Sites, molecule by molecule: `site_molecule` (index into the molecules), `site_atom` (index in the
    molecule), `site_number` (atomic number), `site_ionization` (minus the 1s orbital's energy, eV), `site_relaxation`
    (eV, negative), `site_sticks` (number of sticks), (s,). Sticks, site by site: `energy` (eV, uncalibrated, increasing
    within a site), `strength` (oscillator strength), (k,). `failures`: those that could not be computed, by name.
    """

    name: NDArray[np.str_]
    smiles: NDArray[np.str_]
    atoms: NDArray[np.int64]
    numbers: NDArray[np.int64]
    positions: Array
    site_molecule: NDArray[np.int64]
    site_atom: NDArray[np.int64]
    site_number: NDArray[np.int64]
    site_ionization: Array
    site_relaxation: Array
    site_sticks: NDArray[np.int64]
    energy: Array
    strength: Array
    failures: Mapping[str, Result]
    provenance: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.name)

    def of_element(self, symbol: str) -> NDArray[np.int64]:
        """Return the indices of the sites whose absorber is this element."""
        return np.flatnonzero(self.site_number == xraydb.atomic_number(symbol))

    def sticks_of(self, sites: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the indices of the sticks of these sites, site by site."""
        return _members(self.site_sticks, sites)

    def select(self, molecules: Sequence[int] | NDArray[np.int64] | NDArray[np.bool_]) -> "Dataset":
        """Return the molecules of these indices, in that order, or where this mask (m,) is true; without failures."""
        chosen = np.arange(len(self))[np.asarray(molecules)]
        in_molecule = np.bincount(self.site_molecule, minlength=len(self))
        atoms, sites = _members(self.atoms, chosen), _members(in_molecule, chosen)
        sticks = self.sticks_of(sites)
        return Dataset(
            name=self.name[chosen],
            smiles=self.smiles[chosen],
            atoms=self.atoms[chosen],
            numbers=self.numbers[atoms],
            positions=self.positions[atoms],
            site_molecule=np.repeat(np.arange(len(chosen)), in_molecule[chosen]),
            site_atom=self.site_atom[sites],
            site_number=self.site_number[sites],
            site_ionization=self.site_ionization[sites],
            site_relaxation=self.site_relaxation[sites],
            site_sticks=self.site_sticks[sites],
            energy=self.energy[sticks],
            strength=self.strength[sticks],
            failures={},
            provenance=self.provenance,
        )


def write_dataset(path: Path, results: Sequence[Result], provenance: Mapping[str, str]) -> None:
    """Write results into one file, whole or not at all.

    `provenance`: what made them (method, versions, licence, …). Raises DatasetError when two share a name, or the place
    cannot be written to.
    """
    write_table(path, _table(results, provenance))


def read_dataset(path: Path) -> Dataset:
    """Read a file that `write_dataset` or `merge_datasets` wrote.

    Raises DatasetError when it is missing, broken, or no file of this format.
    """
    try:
        return _dataset(read_table(path))
    except IndexError as error:
        raise DatasetError(f"{path}: broken, its columns do not fit each other ({error}); compute it again") from error


def dataset_of(results: Sequence[Result], provenance: Mapping[str, str]) -> Dataset:
    """Make the data set that a file of these results would hold, rounded as in the file."""
    return _dataset(_table(results, provenance))


def merge_datasets(paths: Sequence[Path], target: Path) -> None:
    """Write the rows of all files into one; of rows that share a name, the last stays.

    Where their provenance differs, the target names every value. Raises DatasetError as `read_dataset`, and without paths.
    """
    if not paths:
        raise DatasetError(f"{target}: there is nothing to merge; give at least one file")
    tables = [read_table(path) for path in paths]
    rows = pa.concat_tables([table.replace_schema_metadata() for table in tables])
    last = {name: row for row, name in enumerate(rows["name"].to_pylist())}
    provenance = _joined([provenance_of(table) for table in tables])
    write_table(target, rows.take(sorted(last.values())).cast(schema_with(provenance)))


def concatenate(datasets: Sequence[Dataset]) -> Dataset:
    """Join data sets, at least one, molecules in the order given."""
    arrays: dict[str, Any] = {
        field.name: np.concatenate([getattr(dataset, field.name) for dataset in datasets])
        for field in fields(Dataset)
        if field.name not in ("failures", "provenance")
    }
    starts = np.repeat(np.cumsum([0, *map(len, datasets[:-1])]), [len(dataset.site_molecule) for dataset in datasets])
    arrays["site_molecule"] = arrays["site_molecule"] + starts
    failures = {name: failed for dataset in datasets for name, failed in dataset.failures.items()}
    return Dataset(**arrays, failures=failures, provenance=_joined([dataset.provenance for dataset in datasets]))


def _members(counts: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of the members of the chosen groups, where group i has `counts[i]` consecutive members."""
    sizes = counts[chosen]
    offsets = (np.cumsum(counts) - counts)[chosen] - (np.cumsum(sizes) - sizes)
    return np.repeat(offsets, sizes) + np.arange(sizes.sum())


def _joined(several: Sequence[Mapping[str, str]]) -> dict[str, str]:
    values: dict[str, dict[str, None]] = {}
    for provenance in several:
        for key, value in provenance.items():
            values.setdefault(key, {}).update(dict.fromkeys(value.split("; ")))
    return {key: "; ".join(found) for key, found in values.items()}


def _table(results: Sequence[Result], provenance: Mapping[str, str]) -> Any:
    names = [result.name for result in results]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DatasetError(f"molecule {twice!r}: the name occurs more than once; give every molecule a name of its own")
    return pa.Table.from_pylist([_row(result) for result in results], schema=schema_with(provenance))


def _row(result: Result) -> dict[str, object]:
    row: dict[str, object] = {column: [] for column in COLUMNS}
    row |= {"name": result.name, "smiles": result.smiles, "failure": result.failure}
    molecule = result.molecule
    if molecule is None:
        return row
    sites = molecule.sites
    energy = np.concatenate([[], *(site.energy for site in sites)])
    mantissa, exponent = np.frexp(np.concatenate([[], *(site.strength for site in sites)]))
    strength = np.ldexp(np.rint(np.ldexp(mantissa, STRENGTH_DIGITS)), exponent - STRENGTH_DIGITS)
    return row | {
        "number": molecule.numbers,
        "position_angstrom": molecule.positions.ravel(),
        "site_atom": [site.atom for site in sites],
        "site_ionization_eV": [site.ionization for site in sites],
        "site_relaxation_eV": [site.relaxation for site in sites],
        "site_sticks": [len(site.energy) for site in sites],
        "stick_energy_meV": np.rint(1000 * energy).astype(np.int32),
        "stick_strength": strength.astype(np.float32),
    }


def _dataset(table: Any) -> Dataset:
    failed = table.filter(table["failure"].is_valid()).select(["name", "smiles", "failure"]).to_pylist()
    table = table.filter(table["failure"].is_null())
    atoms, sites = (
        table[column].combine_chunks().value_lengths().to_numpy().astype(np.int64) for column in ("number", "site_atom")
    )
    numbers, site_atom = (_values(table, column, np.int64) for column in ("number", "site_atom"))
    site_molecule = np.repeat(np.arange(len(sites)), sites)
    return Dataset(
        name=np.array(table["name"].to_pylist(), dtype=np.str_),
        smiles=np.array(table["smiles"].to_pylist(), dtype=np.str_),
        atoms=atoms,
        numbers=numbers,
        positions=_values(table, "position_angstrom", np.float64).reshape(-1, 3),
        site_molecule=site_molecule,
        site_atom=site_atom,
        site_number=numbers[(np.cumsum(atoms) - atoms)[site_molecule] + site_atom],
        site_ionization=_values(table, "site_ionization_eV", np.float64),
        site_relaxation=_values(table, "site_relaxation_eV", np.float64),
        site_sticks=_values(table, "site_sticks", np.int64),
        energy=_values(table, "stick_energy_meV", np.float64) / 1000,
        strength=_values(table, "stick_strength", np.float64),
        failures={row["name"]: Result(**row, molecule=None) for row in failed},
        provenance=provenance_of(table),
    )


def _values(table: Any, column: str, kind: type[np.generic]) -> NDArray[Any]:
    return table[column].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(kind)
