"""What is trained on: structures with the computed spectra of their absorbers."""

import gzip
import hashlib
import json
import zipfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from rdkit import Chem

from xas_bluesky.candidates import Candidate
from xas_bluesky.edges import find_edge
from xas_bluesky.errors import CandidateError, DatasetError
from xas_bluesky.spectra import Array
from xas_bluesky.structures import AtomGraph, crystal_graph, embed, molecular_graph, read_crystal, read_molecule
from xas_bluesky.structures.bonds import broken_bond
from xas_bluesky.structures.building import FEW
from xas_bluesky.structures.split import BLIND_BELOW, TEST_BELOW, residue, split, validates
from xas_bluesky.theory import Dataset, calibrated, read_dataset, relative_spectra
from xas_bluesky.theory.relative_spectra import GAUSSIANS, RELATIVE_ENERGY
from xas_bluesky.training.sulfur_set import authors_test

Part = Literal["train", "validation", "test", "authors_test"]
"""The last: molecules which the authors of the published sulfur set kept apart."""

CU_GRID = np.arange(8980.0, 9124.1, 0.5)
MOLECULAR = ("C", "N", "O", "F", "S")
ENERGY: dict[str, Array] = {
    **{f"{element} K": RELATIVE_ENERGY for element in MOLECULAR},
    "Cu K": CU_GRID - find_edge("Cu K").energy,
}
"""Energies of the site spectra, eV from the ionization energy (of Cu K, from the tabulated edge): there, peaks lie close."""
GAUSSIAN = {**GAUSSIANS, "Cu K": 0.0}
"""Full widths at half maximum, eV, beside the core hole's; the spectra of Cu were computed with what broadening they have."""
CRYSTAL_FILES = ("sites.npz", "structures.json.gz")
CONFORMERS = 2
"""Geometries of a molecule beside the one that was computed: at prediction there are only such."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Hold the computed spectra of k absorbers of one edge.

    `rows` (k,): which of the graph's absorbers; `spectra` (k, m) in atomic edge jumps on ENERGY; `ionization` (k,) eV.
    """

    rows: NDArray[np.int64]
    spectra: Array
    ionization: Array


@dataclass(frozen=True, slots=True)
class Example:
    """Hold one structure: `label` its SMILES or identifier, `source` the file it is from, and its targets by edge.

    `graphs`: one for each geometry, the first that which the spectra were computed with.
    """

    name: str
    label: str
    source: str
    part: Part
    graphs: tuple[AtomGraph, ...]
    targets: dict[str, Targets]

    @property
    def predicted(self) -> AtomGraph:
        """The graph that a prediction makes: of a molecule, from its SMILES."""
        return self.graphs[min(1, len(self.graphs) - 1)]

    def only(self, edges: Collection[str]) -> "Example":
        """Return the example with its targets at these edges."""
        return replace(self, targets={edge: found for edge, found in self.targets.items() if edge in edges})


def load_examples(paths: Iterable[Path]) -> list[Example]:
    """Load data sets: files of core excitations (.parquet), and folders of crystals.

    Blind molecules, and those without a geometry, are left out; of molecules in several files the first counts. Raises
    DatasetError for what is missing, broken, or empty.
    """
    examples: dict[str, Example] = {}
    for path in paths:
        found = load_crystals(path) if path.is_dir() else load_molecules(path)
        if not found:
            raise DatasetError(f"{path}: it holds nothing to train on; compute more, or leave it out")
        for example in found:
            examples.setdefault(f"{example.label} {' '.join(example.targets)}", example)
    return list(examples.values())


def load_molecules(path: Path) -> list[Example]:
    """Load one file of core excitations, its molecules' graphs made on all cores."""
    dataset = read_dataset(path)
    targets = _molecular_targets(dataset)
    ends = np.cumsum(dataset.atoms)
    wanted = [index for index in range(len(dataset)) if targets[index] and split(str(dataset.smiles[index])) != "blind"]
    made: Any = Parallel(n_jobs=-1 if len(wanted) > FEW else 1)(
        delayed(_geometries)(str(dataset.smiles[index]), dataset.numbers[atoms], dataset.positions[atoms])
        for index in wanted
        for atoms in [slice(ends[index] - dataset.atoms[index], ends[index])]
    )
    return [
        Example(
            name=str(dataset.name[index]),
            label=str(dataset.smiles[index]),
            source=path.stem,
            part=_part(Chem.CanonSmiles(str(dataset.smiles[index]))),
            graphs=graphs,
            targets={
                edge: Targets(np.searchsorted(graphs[0].absorbers, atoms), spectra, ionization)
                for edge, (atoms, spectra, ionization) in targets[index].items()
            },
        )
        for index, graphs in zip(wanted, made, strict=True)
        if graphs
    ]


def load_crystals(folder: Path) -> list[Example]:
    """Load a folder of crystals: `sites.npz` (material, site, mu) and `structures.json.gz` (POSCARs by material)."""
    try:
        with (folder / CRYSTAL_FILES[0]).open("rb") as file, np.load(file, allow_pickle=False) as sites:
            materials, atoms, spectra = sites["material"], sites["site"].astype(np.int64), sites["mu"].astype(np.float64)
            fits = np.array_equal(sites["energy"], CU_GRID)
        with gzip.open(folder / CRYSTAL_FILES[1], "rt", encoding="utf-8") as file:
            structures = {name: entry["poscar"] for name, entry in json.load(file).items()}
        names = np.unique(materials)
        candidates = [Candidate(str(name), structures[str(name)], str(folder), "poscar") for name in names]
    except (OSError, EOFError, LookupError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{folder}: the crystals cannot be read ({error}); give the folder of an unbroken set") from error
    if not fits:
        raise DatasetError(f"{folder}: its spectra are not on {CU_GRID[0]:g} to {CU_GRID[-1]:g} eV in steps of 0.5 eV")
    made: Any = Parallel(n_jobs=-1 if len(candidates) > FEW else 1)(delayed(_crystal)(candidate) for candidate in candidates)
    return [
        _material(name, graph, atoms[rows], spectra[rows], folder.name)
        for name, graph in zip(names, made, strict=True)
        for rows in [np.flatnonzero(materials == name)]
    ]


def hash_file(path: Path) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a data set."""
    digest = hashlib.sha256()
    for file in [path / name for name in CRYSTAL_FILES] if path.is_dir() else [path]:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _part(key: str) -> Part:
    """Say what part an example belongs to; `key`: a molecule's canonical SMILES, or a material's identifier."""
    if key in authors_test():
        return "authors_test"
    number = residue(key)
    if BLIND_BELOW <= number < TEST_BELOW:
        return "test"
    return "validation" if validates(key) else "train"


def _molecular_targets(dataset: Dataset) -> list[dict[str, tuple[NDArray[np.int64], Array, Array]]]:
    """Return for each molecule, by edge, its absorbing atoms, in order, with their spectra and ionization energies."""
    found: list[dict[str, tuple[NDArray[np.int64], Array, Array]]] = [{} for _ in range(len(dataset))]
    for element in MOLECULAR:
        edge = find_edge(f"{element} K")
        sites, energy, ionization = calibrated(dataset, element)
        count = dataset.site_sticks[sites]
        relative, strength = energy - np.repeat(ionization, count), dataset.strength[dataset.sticks_of(sites)]
        spectra = relative_spectra(edge, relative, strength, count)
        for molecule in np.unique(dataset.site_molecule[sites]):
            rows = np.flatnonzero((dataset.site_molecule[sites] == molecule) & (count > 0))
            rows = rows[np.argsort(dataset.site_atom[sites[rows]])]
            if len(rows):
                found[molecule][str(edge)] = dataset.site_atom[sites[rows]], spectra[rows], ionization[rows]
    return found


def _geometries(smiles: str, numbers: NDArray[np.int64], positions: Array) -> tuple[AtomGraph, ...]:
    """Return the graphs of a molecule as computed and of conformers; none where there is no conformer."""
    molecule = read_molecule(Candidate(smiles, smiles), *MOLECULAR)
    same = [atom.GetAtomicNum() for atom in molecule.GetAtoms()] == list(numbers)
    if not same or broken_bond(molecule, positions):
        raise DatasetError(
            f"molecule {smiles!r}: its atoms are in another order than those of its SMILES; compute it from its SMILES"
        )
    computed = Chem.Mol(molecule)
    conformer = Chem.Conformer(len(numbers))
    conformer.SetPositions(positions)
    computed.AddConformer(conformer)
    try:
        embedded = embed(molecule, smiles, CONFORMERS)
    except CandidateError:
        return ()
    others = (molecular_graph(embedded, *MOLECULAR, conformer=found.GetId()) for found in embedded.GetConformers())
    return molecular_graph(computed, *MOLECULAR), *others


def _material(name: str, graph: AtomGraph, atoms: NDArray[np.int64], spectra: Array, source: str) -> Example:
    ionization = np.full(len(atoms), find_edge("Cu K").energy)
    targets = Targets(np.searchsorted(graph.absorbers, atoms), spectra, ionization)
    return Example(name, name, source, _part(name), (graph,), {"Cu K": targets})


def _crystal(candidate: Candidate) -> AtomGraph:
    return crystal_graph(read_crystal(candidate, "Cu"), "Cu")
