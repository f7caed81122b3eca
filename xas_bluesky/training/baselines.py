"""What our network must beat: the mean spectrum, and kernel ridge regression on fingerprints rooted at the absorber."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rdkit.Chem import rdFingerprintGenerator
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve

from xas_bluesky.candidates import Candidate
from xas_bluesky.models import Scaling
from xas_bluesky.models.scaling import interpolated
from xas_bluesky.spectra import Array
from xas_bluesky.structures import read_molecule
from xas_bluesky.training.examples import MOLECULAR, Example
from xas_bluesky.training.populations import computed_spectra, predicted_energies

RADIUS = 4
"""Bonds from the absorber up to which its surroundings count."""
RIDGES = (1e-3, 1e-2, 1e-1)
TOGETHER = 512
"""Rows of the kernel made at a time."""


def mean_spectrum(train: Sequence[Example], edge: str, scaling: Scaling, grid: Array) -> Array:
    """Return the mean (p,) of the training structures' spectra on a grid of energies (p,) eV."""
    having = [example for example in train if edge in example.targets]
    return computed_spectra(having, edge, scaling, grid).mean(axis=0)


def kernel_ridge(
    train: Sequence[Example], validation: Sequence[Example], asked: Sequence[Example], edge: str, scaling: Scaling
) -> tuple[Array, Array]:
    """Predict site spectra (k, m), on energies from the ionization energies (k,) eV that are predicted with them.

    The absorbers are those of `edge` in `asked`, example by example. Kernel: Tanimoto similarity of what surrounds the
    absorbers up to RADIUS bonds (Morgan environments rooted at the absorber, one for each radius). What is regressed are
    spectra on absolute energies, where it errs less than relative to the ionization energy; the ridge is that which errs
    least on `validation`. For molecules only, as the atoms of a crystal have no bonds to follow.
    """
    grid = predicted_energies(scaling, _targets(train, edge)[1])
    taught, truth = (_goals(*_targets(part, edge), scaling, grid) for part in (train, validation))
    center = taught.mean(axis=0)
    kernel, held, wanted = _kernels([_fingerprints(part, edge) for part in (train, validation, asked)])
    tried: list[tuple[float, NDArray[np.float32]]] = []
    for ridge in RIDGES:
        regularized = kernel + np.diag(np.full(len(kernel), ridge, np.float32))
        weights = cho_solve(cho_factor(regularized, lower=True, overwrite_a=True), taught - center)
        off = np.abs(center + held @ weights - truth)
        tried.append((float(off[:, :-1].mean() + off[:, -1].mean()), weights))
    found = (center + wanted @ min(tried, key=lambda pair: pair[0])[1]).astype(np.float64)
    zero = scaling.ionization + scaling.spread * found[:, -1]
    return interpolated(scaling.scale * found[:, :-1], (zero[:, None] + scaling.energy - grid[0]) / scaling.step), zero


def _targets(examples: Sequence[Example], edge: str) -> tuple[Array, Array]:
    found = [example.targets[edge] for example in examples if edge in example.targets]
    return np.concatenate([each.spectra for each in found]), np.concatenate([each.ionization for each in found])


def _goals(spectra: Array, ionization: Array, scaling: Scaling, grid: Array) -> NDArray[np.float32]:
    placed = scaling.placed(spectra, ionization, grid) / scaling.scale
    return np.column_stack([placed, (ionization - scaling.ionization) / scaling.spread]).astype(np.float32)


def _fingerprints(examples: Sequence[Example], edge: str) -> list[list[int]]:
    """Return the environments of each absorber."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, includeRedundantEnvironments=True)
    found: list[list[int]] = []
    for example in examples:
        if edge in example.targets:
            molecule = read_molecule(Candidate(example.label, example.label), *MOLECULAR)
            atoms = example.graphs[0].absorbers[example.targets[edge].rows].tolist()
            # rooted at one atom, an environment cannot come twice: all counts are 1
            counts = (generator.GetSparseCountFingerprint(molecule, fromAtoms=[atom]) for atom in atoms)
            found.extend(list(count.GetNonzeroElements()) for count in counts)
    return found


def _kernels(parts: Sequence[list[list[int]]]) -> list[NDArray[np.float32]]:
    """Return the Tanimoto similarities of the sites of each part (rows) to those of the first (columns)."""
    sites = [site for part in parts for site in part]
    sizes = np.array([len(site) for site in sites])
    _, columns = np.unique([bit for site in sites for bit in site], return_inverse=True)
    rows = np.repeat(np.arange(len(sites)), sizes)
    table = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)))
    known = len(parts[0])
    similar = np.empty((len(sites), known), np.float32)
    for start in range(0, len(sites), TOGETHER):
        some = slice(start, start + TOGETHER)
        shared = (table[some] @ table[:known].T).toarray()
        similar[some] = shared / (sizes[some, None] + sizes[:known] - shared)
    return np.split(similar, np.cumsum([len(part) for part in parts])[:-1])
