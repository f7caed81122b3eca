from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from xas_bluesky.models import NetworkSettings, SpectrumGNN, collate
from xas_bluesky.structures import AtomGraph

GraphOf = Callable[[str], AtomGraph]
SMILES = ("CS", "CSC", "CS(C)=O", "CS(C)(=O)=O", "c1ccsc1", "CSSC")


@pytest.fixture(scope="module")
def network() -> SpectrumGNN:
    torch.manual_seed(0)
    return SpectrumGNN(NetworkSettings(points=7, hidden=16, gaussians=10, interactions=3)).eval()


def spectra(network: SpectrumGNN, *graphs: AtomGraph) -> Tensor:
    with torch.inference_mode():
        return network(collate(graphs))


def moved(graph: AtomGraph) -> AtomGraph:
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    return replace(graph, positions=(graph.positions @ turn + [4.0, -3.0, 2.0]).astype(np.float32))


def shuffled(graph: AtomGraph) -> AtomGraph:
    order = np.random.default_rng(3).permutation(len(graph.numbers))
    absorbers = np.array([np.flatnonzero(order == index)[0] for index in graph.absorbers])
    return AtomGraph(graph.numbers[order], graph.positions[order], graph.features[order], absorbers, graph.environments)


@pytest.mark.parametrize("change", [moved, shuffled])
@pytest.mark.parametrize("smiles", ["N[C@@H](CSSC[C@H](N)C(=O)O)C(=O)O", "CS(=O)(=O)CC[C@H](N)C(=O)O", "[S]"])
def test_rotation_translation_and_order_of_atoms_do_not_matter(
    network: SpectrumGNN, graph: GraphOf, smiles: str, change: Callable[[AtomGraph], AtomGraph]
):
    found = graph(smiles)
    assert torch.allclose(spectra(network, found), spectra(network, change(found)), atol=2e-5)


def test_what_else_is_in_the_batch_does_not_matter(network: SpectrumGNN, graph: GraphOf):
    graphs = [graph(smiles) for smiles in (*SMILES, "[S]")]
    together = spectra(network, *graphs)
    alone = torch.cat([spectra(network, each) for each in graphs])
    assert together.shape == (8, 7)
    assert torch.allclose(together, alone, atol=1e-5)


def test_geometry_and_bonding_do_matter(network: SpectrumGNN, graph: GraphOf):
    found = graph("CSC")
    stretched = replace(found, positions=found.positions * np.float32(1.1))
    charged = replace(found, features=found.features + np.float32(0.5))
    for other in (stretched, charged):
        assert not torch.allclose(spectra(network, found), spectra(network, other), atol=1e-3)


def test_an_isolated_atom_has_a_spectrum(network: SpectrumGNN, graph: GraphOf):
    found = spectra(network, graph("[S]"))
    assert found.shape == (1, 7)
    assert torch.isfinite(found).all()


def test_equal_absorbers_of_a_molecule_have_equal_spectra(network: SpectrumGNN, graph: GraphOf):
    first, second = spectra(network, graph("S=C=S"))
    assert torch.allclose(first, second, atol=1e-4)


def test_overfits_a_tiny_set(graph: GraphOf):
    torch.manual_seed(0)
    network = SpectrumGNN(NetworkSettings(points=7, hidden=32, gaussians=16, interactions=2, dropout=0.0))
    batch = collate([graph(smiles) for smiles in SMILES[:-1]])
    goal = torch.randn(len(SMILES) - 1, 7)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(300):
        loss = (network(batch) - goal).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    with torch.inference_mode():
        assert (network(batch) - goal).abs().mean() < 0.05 * goal.abs().mean()
