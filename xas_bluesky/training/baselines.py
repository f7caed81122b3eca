"""What a network must beat: the mean spectrum, and kernel ridge regression on fingerprints rooted at the absorber."""

from collections.abc import Sequence

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from xas_bluesky.spectra import Array
from xas_bluesky.training.dataset import Example, spectra_of

RADIUS = 4
RIDGE = 0.01


def mean_spectrum(train: Sequence[Example], test: Sequence[Example]) -> Array:
    """Predict the training set's mean spectrum for every test molecule (n, m)."""
    return np.repeat(spectra_of(train).mean(axis=0)[None], len(test), axis=0)


def kernel_ridge(train: Sequence[Example], test: Sequence[Example]) -> Array:
    """Predict (n, m) by kernel ridge regression; kernel: Tanimoto similarity of Morgan counts around the absorbers."""
    counts = [_fingerprint(example.smiles) for example in [*train, *test]]
    columns = {key: column for column, key in enumerate(sorted(set().union(*counts)))}
    table = np.zeros((len(counts), len(columns)))
    for row, count in zip(table, counts, strict=True):
        row[[columns[key] for key in count]] = list(count.values())
    known, asked = table[: len(train)], table[len(train) :]
    spectra = spectra_of(train)
    center = spectra.mean(axis=0)
    weights = np.linalg.solve(_tanimoto(known, known) + RIDGE * np.eye(len(train)), spectra - center)
    return center + _tanimoto(asked, known) @ weights


def _fingerprint(smiles: str) -> dict[int, int]:
    molecule = Chem.MolFromSmiles(smiles)
    rooted = [atom.GetIdx() for atom in molecule.GetAtoms() if atom.GetSymbol() == "S"]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, includeRedundantEnvironments=True)
    return generator.GetSparseCountFingerprint(molecule, fromAtoms=rooted).GetNonzeroElements()


def _tanimoto(first: Array, second: Array) -> Array:
    shared = np.array([np.minimum(row, second).sum(axis=1) for row in first])
    return shared / (first.sum(axis=1)[:, None] + second.sum(axis=1) - shared)
