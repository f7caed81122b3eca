from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from xas_bluesky.candidates import Candidate
from xas_bluesky.models import Scaling
from xas_bluesky.spectra import Array
from xas_bluesky.structures import embed, molecular_graph, read_molecule
from xas_bluesky.training import baselines
from xas_bluesky.training.baselines import computed_spectra, kernel_ridge, mean_spectrum
from xas_bluesky.training.examples import ENERGY, MOLECULAR, Example, Part, Targets
from xas_bluesky.training.metrics import relative_l1
from xas_bluesky.training.networks import fit_scalings

EDGE = "O K"
GRID = np.arange(520.0, 556.0, 0.2)


def example(smiles: str, part: Part = "train", element: str = "O") -> Example:
    """A molecule whose carbonyls have a peak 5 eV lower, and ionize 1 eV lower, than its other oxygen atoms."""
    molecule = embed(read_molecule(Candidate(smiles, smiles), *MOLECULAR), smiles)
    graph = molecular_graph(molecule, *MOLECULAR)
    atoms = [molecule.GetAtomWithIdx(int(index)) for index in graph.absorbers]
    rows = np.array([row for row, atom in enumerate(atoms) if atom.GetSymbol() == element])
    double = np.array([atoms[row].GetHybridization() == Chem.HybridizationType.SP2 for row in rows])
    peak = np.where(double, -7.0, -2.0)[:, None]
    edge = f"{element} K"
    energy = ENERGY[edge]
    spectra = 3 * np.exp(-0.5 * (energy - peak) ** 2) + 1 / (1 + np.exp(-2 * energy))
    return Example(smiles, smiles, "made up", part, (graph,), {edge: Targets(rows, spectra, np.where(double, 537.0, 538.0))})


KNOWN = ("CCO", "CC(C)O", "CCC=O", "CC(C)=O", "OCCC=O", "CCCCO", "CCCC=O", "OCC(C)=O", "COC", "CCOC")
NEW = ("CCCO", "CCC(C)=O", "OCCCC=O")


@pytest.fixture(scope="module")
def train() -> list[Example]:
    return [*map(example, KNOWN), example("CCN", element="N")]


@pytest.fixture(scope="module")
def held_out() -> list[Example]:
    return [example(smiles, "validation") for smiles in NEW]


@pytest.fixture(scope="module")
def scaling(train: list[Example]) -> Scaling:
    return fit_scalings(train)[EDGE]


def joined(examples: Sequence[Example]) -> tuple[Array, Array]:
    targets = [found.targets[EDGE] for found in examples if EDGE in found.targets]
    return np.concatenate([found.spectra for found in targets]), np.concatenate([found.ionization for found in targets])


def test_the_mean_spectrum_is_of_molecules_on_absolute_energies(train: list[Example], scaling: Scaling):
    both = [example("OCCC=O"), example("CCO")]
    carbonyl, alcohol = (computed_spectra([example(smiles)], EDGE, scaling, GRID)[0] for smiles in ("CC=O", "CO"))
    assert GRID[carbonyl.argmax()] == pytest.approx(530.0)
    assert GRID[alcohol.argmax()] == pytest.approx(536.0)
    # of two molecules, not of their three sites
    assert np.allclose(mean_spectrum([*both, train[-1]], EDGE, scaling, GRID), 0.25 * carbonyl + 0.75 * alcohol)


def test_kernel_ridge_reproduces_what_it_was_taught(train: list[Example], scaling: Scaling):
    asked = [found for found in train[::-1] if EDGE in found.targets]
    spectra, ionization = kernel_ridge(train, asked, asked, EDGE, scaling)
    expected, zero = joined(asked)
    assert spectra.shape == expected.shape
    assert np.allclose(ionization, zero, atol=0.01)
    assert relative_l1(spectra, expected) < 0.01


def test_kernel_ridge_is_that_of_the_textbook(scaling: Scaling, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(baselines, "RIDGES", (0.1,))
    train, asked = [example(smiles) for smiles in ("CCO", "CC=O", "COC")], example("CCCC=O")
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=4, includeRedundantEnvironments=True)
    prints = [
        generator.GetSparseCountFingerprint(molecule, fromAtoms=[index])
        for molecule in (Chem.MolFromSmiles(found.label) for found in (*train, asked))
        for index in [atom.GetIdx() for atom in molecule.GetAtoms() if atom.GetSymbol() == "O"]
    ]
    kernel = np.array([DataStructs.BulkTanimotoSimilarity(one, prints) for one in prints])
    zero = joined(train)[1]
    weights = np.linalg.solve(kernel[:3, :3] + 0.1 * np.eye(3), zero - zero.mean())
    assert 0 < kernel[3, 1] < 1
    _, ionization = kernel_ridge(train, train, [asked], EDGE, scaling)
    assert ionization == pytest.approx(zero.mean() + kernel[3:, :3] @ weights, abs=1e-3)


def test_kernel_ridge_beats_the_mean_on_molecules_it_has_not_seen(
    train: list[Example], held_out: list[Example], scaling: Scaling
):
    computed = computed_spectra(held_out, EDGE, scaling, GRID)
    placed = scaling.placed(*kernel_ridge(train, held_out, held_out, EDGE, scaling), GRID)
    found = np.array([placed[0], placed[1], placed[2:].mean(axis=0)])
    unskilled = np.tile(mean_spectrum(train, EDGE, scaling, GRID), (len(held_out), 1))
    assert relative_l1(found, computed) < 0.4 * relative_l1(unskilled, computed)


def test_only_the_absorbers_that_have_targets_are_predicted(train: list[Example], held_out: list[Example], scaling: Scaling):
    whole = held_out[2]
    targets = whole.targets[EDGE]
    part = Targets(targets.rows[1:], targets.spectra[1:], targets.ionization[1:])
    some = replace(whole, targets={EDGE: part})
    spectra, ionization = kernel_ridge(train, held_out, [whole, train[-1], some], EDGE, scaling)
    assert len(spectra) == len(ionization) == 3
    assert np.array_equal(spectra[2], spectra[1])
    assert not np.allclose(spectra[0], spectra[1])


def test_what_lies_far_from_the_absorber_does_not_matter(train: list[Example], held_out: list[Example], scaling: Scaling):
    asked = [example("OCCCCCCC" + end) for end in ("C", "CF", "C#N")]
    spectra, ionization = kernel_ridge(train, held_out, asked, EDGE, scaling)
    assert np.array_equal(spectra, spectra[[0, 0, 0]])
    assert np.array_equal(ionization, ionization[[0, 0, 0]])


def test_the_ridge_is_chosen_on_the_validation_molecules(
    train: list[Example], held_out: list[Example], scaling: Scaling, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(baselines, "RIDGES", (1e-3, 1e6))
    spectra, ionization = joined(train)
    zero = ionization.mean()
    count = [len(found.targets[EDGE].rows) for found in held_out]
    flat = [
        replace(
            found, targets={EDGE: Targets(found.targets[EDGE].rows, np.tile(spectra.mean(axis=0), (k, 1)), np.full(k, zero))}
        )
        for found, k in zip(held_out, count, strict=True)
    ]
    _, skilled = kernel_ridge(train, held_out, held_out, EDGE, scaling)
    _, blunt = kernel_ridge(train, flat, held_out, EDGE, scaling)
    assert np.ptp(blunt) < 1e-3
    assert np.ptp(skilled) > 0.5
