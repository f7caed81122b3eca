from dataclasses import replace

import numpy as np
import pytest
from torch_geometric.data import Batch

from xas_bluesky.candidates import Candidate
from xas_bluesky.models.reference_model import ReferenceModel
from xas_bluesky.structures import embed, molecular_graph, read_molecule
from xas_bluesky.training.baselines import computed_spectra, mean_spectrum
from xas_bluesky.training.examples import ENERGY, MOLECULAR, Example, Part, Targets
from xas_bluesky.training.metrics import relative_l1
from xas_bluesky.training.networks import fit_scalings
from xas_bluesky.training.populations import predicted_energies
from xas_bluesky.training.reference import bond_graphs, train_reference

EDGE = "O K"


def example(smiles: str, part: Part = "train") -> Example:
    """A molecule whose oxygen atoms have their peak the lower, the fewer neighbours they have."""
    graph = molecular_graph(embed(read_molecule(Candidate(smiles, smiles), *MOLECULAR), smiles), *MOLECULAR)
    rows = np.flatnonzero(graph.numbers[graph.absorbers] == 8)
    bonds = graph.features[graph.absorbers[rows], 0] * 4
    spectra = 3 * np.exp(-0.5 * (ENERGY[EDGE] + 10 - 3 * bonds[:, None]) ** 2) + 1
    return Example(smiles, smiles, "made up", part, (graph,), {EDGE: Targets(rows, spectra, 536.0 + bonds)})


@pytest.fixture(scope="module")
def learned() -> list[Example]:
    return [example(smiles) for smiles in ("CO", "C=O", "CC=O", "COC", "OCC=O")]


@pytest.fixture(scope="module")
def held_out() -> list[Example]:
    return [example(smiles, "validation") for smiles in ("CCO", "CCC=O", "OCCO")]


@pytest.fixture(scope="module")
def model(learned: list[Example], held_out: list[Example]) -> ReferenceModel:
    return train_reference(learned, held_out, [EDGE], epochs=60, batch=2, rate=1e-2, hidden=16)


def predicted(model: ReferenceModel, examples: list[Example]) -> np.ndarray:
    graphs = bond_graphs(examples)
    return model.predict(Batch.from_data_list([graphs[found.label] for found in examples]), EDGE)[0]


def computed(model: ReferenceModel, examples: list[Example], learned: list[Example]) -> np.ndarray:
    return computed_spectra(examples, EDGE, fit_scalings(learned)[EDGE], model.edges[EDGE].energy)


def test_learns_molecules_on_the_energies_that_ours_predicts_at(model: ReferenceModel, learned: list[Example]):
    scaling, energy = fit_scalings(learned)[EDGE], model.edges[EDGE].energy
    zero = np.concatenate([found.targets[EDGE].ionization for found in learned])
    assert np.array_equal(energy, predicted_energies(scaling, zero))
    goal = computed(model, learned, learned)
    unskilled = np.tile(mean_spectrum(learned, EDGE, scaling, energy), (len(goal), 1))
    assert relative_l1(predicted(model, learned), goal) < 0.3 * relative_l1(unskilled, goal)


def test_its_errors_are_those_of_the_validation_molecules(
    model: ReferenceModel, learned: list[Example], held_out: list[Example]
):
    found = model.edges[EDGE]
    off = predicted(model, held_out) - computed(model, held_out, learned)
    assert np.abs(off).max() > 0.05
    assert np.allclose((found.residual**2).sum(axis=0) + found.rest**2, (off**2).mean(axis=0), atol=1e-5)


def test_the_epoch_that_validates_best_is_kept(model: ReferenceModel, learned: list[Example]):
    spectra = computed(model, learned, learned)
    mirrored = [
        replace(found, targets={EDGE: replace(targets, spectra=2 * spectra.mean() - targets.spectra)})
        for found in learned
        for targets in found.targets.values()
    ]
    # what is learned makes these worse, so that hardly anything of it is kept
    kept = train_reference(learned, mirrored, [EDGE], epochs=60, batch=2, rate=1e-2, hidden=16)
    assert relative_l1(predicted(kept, learned), spectra) > 2 * relative_l1(predicted(model, learned), spectra)


def test_a_seed_repeats_a_training(learned: list[Example], held_out: list[Example]):
    one, again, other = (
        predicted(train_reference(learned, held_out, [EDGE], epochs=3, batch=2, hidden=8, seed=seed), held_out)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(one, again)
    assert not np.allclose(one, other)
