"""Make what the identification benchmark starts from: truths computed from first principles, and predictions of their isomers.

Usage: python benchmarks/identifying/prepare.py [FOLDER] [--edge "O K"]... (default: runs/identification, O, N, C and S K)

One file an edge. Truths: the molecules of `datasets/core_excitations` of the validation and test parts, which the networks
have not seen, with spectra at 0.85, 1 and 1.15 times the Gaussian that predictions are made for. Isomers: of each truth's
formula the first MOST of `datasets/qm9_smiles.csv.gz` (at S K: of the sulfur compounds made from it) in their fixed random
order, without blind molecules. Predictions already there are kept.
"""

import argparse
import csv
import gzip
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem.rdMolDescriptors import CalcMolFormula

from xas_bluesky.candidates import Candidate
from xas_bluesky.edges import find_edge
from xas_bluesky.prediction import Predictor
from xas_bluesky.spectra import Array, PredictedSpectra
from xas_bluesky.structures import split
from xas_bluesky.structures.split import validates
from xas_bluesky.theory import molecule_means, read_dataset, site_spectra
from xas_bluesky.theory.analogues import in_fixed_order, sulfur_analogues
from xas_bluesky.training.examples import GAUSSIAN

DATASETS = Path(__file__).parents[2] / "datasets"
FILES = dict.fromkeys(("O K", "N K", "C K"), ("qm9", "qm9_nitrogen", "qm9_fluorine")) | {"S K": ("sulfur",)}
MOST = 100
SULFUR_LIST = 6_000
"""Sulfur compounds that isomers are taken from: the list of datasets/make_lists.py."""
WIDTHS = (0.85, 1.0, 1.15)
"""Resolutions of the truths, as shares of the Gaussian that the networks are trained with."""
BELOW, ABOVE, STEP = 50.0, 65.0, 0.05
"""Truths' spectra reach so far from the tabulated edge, in such steps (eV)."""
CHUNK = 400
"""Molecules predicted between two writes."""
ARRAYS = ("mean", "std", "factors", "ionization", "supported", "distance")


@dataclass(frozen=True, slots=True)
class Truths:
    """Hold t computed molecules: `smiles`, `formula`, `part` (t,), and spectra (t, WIDTHS, m) on `energy` (m,) eV."""

    smiles: NDArray[np.str_]
    formula: NDArray[np.str_]
    part: NDArray[np.str_]
    energy: Array
    spectra: Array


def formula_of(smiles: str) -> str:
    """Return a molecule's formula."""
    return CalcMolFormula(Chem.MolFromSmiles(smiles))


def part_of(smiles: str) -> str:
    """Return validate or test for molecules that the networks have not seen, else nothing."""
    part = split(smiles)
    if part == "train" and validates(Chem.CanonSmiles(smiles)):
        return "validate"
    return "test" if part == "test" else ""


def truths_of(edge: str) -> Truths:
    """Compute the spectra of all truths at an edge, in atomic edge jumps."""
    grid = find_edge(edge).energy + np.arange(-BELOW, ABOVE + STEP / 2, STEP)
    smiles: list[str] = []
    spectra: list[Array] = []
    for file in FILES[edge]:
        dataset = read_dataset(DATASETS / "core_excitations" / f"{file}.parquet")
        unseen = [index for index, one in enumerate(dataset.smiles) if part_of(str(one)) and str(one) not in smiles]
        dataset = dataset.select(unseen)
        per_width: list[Array] = []
        molecules = np.empty(0, dtype=np.int64)
        for width in WIDTHS:
            sites, found = site_spectra(dataset, edge, grid, width * GAUSSIAN[edge])
            molecules, means = molecule_means(found, dataset.site_molecule[sites])
            per_width.append(means / find_edge(edge).jump)
        smiles += [str(dataset.smiles[index]) for index in molecules]
        spectra.append(np.stack(per_width, axis=1))
    formulas = [formula_of(one) for one in smiles]
    return Truths(np.array(smiles), np.array(formulas), np.array([*map(part_of, smiles)]), grid, np.concatenate(spectra))


def isomers_of(formulas: Iterable[str], molecules: Iterable[tuple[str, str]]) -> list[str]:
    """Return the first MOST of the `molecules` (SMILES, formula) of each formula, in their order."""
    wanted = dict.fromkeys(formulas, 0)
    found: list[str] = []
    for smiles, formula in molecules:
        if wanted.get(formula, MOST) < MOST:
            wanted[formula] += 1
            found.append(smiles)
    return found


def listed(edges: Sequence[str], folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Return, by the list's name, SMILES and formula of all molecules that may be isomers; read again where made before."""
    lists: dict[str, list[tuple[str, str]]] = {}
    for name in dict.fromkeys("sulfur" if edge == "S K" else "qm9" for edge in edges):
        path = folder / f"{name}.csv"
        if not path.exists():
            with path.open("w", newline="") as file:
                csv.writer(file).writerows((smiles, formula_of(smiles)) for smiles in _molecules(name))
        with path.open(newline="") as file:
            lists[name] = [(smiles, formula) for smiles, formula in csv.reader(file)]
    return lists


def _molecules(name: str) -> Iterator[str]:
    with gzip.open(DATASETS / "qm9_smiles.csv.gz", "rt", encoding="ascii") as lines:
        molecules = in_fixed_order(row["smiles"] for row in csv.DictReader(lines))
    if name == "qm9":
        yield from molecules
    else:
        yield from (smiles for _, smiles in islice(sulfur_analogues(molecules), SULFUR_LIST))


def predict(predictor: Predictor, smiles: Sequence[str], edge: str, folder: Path) -> None:
    """Predict molecules chunk by chunk, each into a file of its own, which is not made again."""
    folder.mkdir(exist_ok=True)
    for start in range(0, len(smiles), CHUNK):
        path = folder / f"{start:06d}.npz"
        if not path.exists():
            chunk = smiles[start : start + CHUNK]
            found = predictor.predict([Candidate(one, one) for one in chunk], edge).spectra
            part = path.with_suffix(".part.npz")
            np.savez(part, allow_pickle=False, names=np.array(found.candidate), **arrays_of(found))
            part.rename(path)
            print(f"{edge}: {start + len(chunk)} of {len(smiles)}", flush=True)


def arrays_of(spectra: PredictedSpectra) -> dict[str, NDArray[np.generic]]:
    """Return predicted spectra as arrays, in single precision."""
    arrays = {name: np.asarray(getattr(spectra, name)) for name in ARRAYS}
    return {name: array.astype(np.float32) if array.ndim > 1 else array for name, array in arrays.items()}


def prepare(edge: str, isomers: list[tuple[str, str]], predictor: Predictor, folder: Path) -> None:
    """Write one edge's file."""
    truths = truths_of(edge)
    chosen = list(dict.fromkeys([*truths.smiles.tolist(), *isomers_of(truths.formula.tolist(), isomers)]))
    stem = edge.replace(" ", "_")
    print(f"{edge}: {len(truths.smiles)} truths of {len(set(truths.formula))} formulas, {len(chosen)} molecules", flush=True)
    predict(predictor, chosen, edge, folder / f"{stem}.chunks")
    chunks = [np.load(path, allow_pickle=False) for path in sorted((folder / f"{stem}.chunks").glob("??????.npz"))]
    joined = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in ("names", *ARRAYS)}
    population = predictor.population(predictor.edge(edge))
    np.savez(
        folder / f"{stem}.npz",
        allow_pickle=False,
        **joined,
        formulas=np.array([formula_of(str(one)) for one in joined["names"]]),
        energy=population.energy,
        model=np.array(predictor.model),
        **{f"population_{name}": array for name, array in arrays_of(population).items()},
        population_names=np.array(population.candidate),
        truth_names=truths.smiles,
        truth_formulas=truths.formula,
        truth_parts=truths.part,
        truth_energy=truths.energy,
        truth_spectra=truths.spectra.astype(np.float32),
    )


def main() -> None:
    """Prepare every edge."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/identification"))
    parser.add_argument("--edge", action="append", choices=list(FILES))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    edges = options.edge or list(FILES)
    lists = listed(edges, options.folder)
    predictor = Predictor.load()
    for edge in edges:
        prepare(edge, lists["sulfur" if edge == "S K" else "qm9"], predictor, options.folder)


if __name__ == "__main__":
    main()
