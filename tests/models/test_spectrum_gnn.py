from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from xas_bluesky.candidates import Candidate
from xas_bluesky.models import NetworkSettings, SpectrumGNN, collate
from xas_bluesky.structures import AtomGraph, Crystal, crystal_graph, read_crystal

GraphOf = Callable[..., AtomGraph]
SMILES = ("CS", "CSC", "CS(C)=O", "CS(C)(=O)=O", "c1ccsc1", "CSSC")
CUPRITE = """Cu2O
4.27
1 0 0
0 1 0
0 0 1
O Cu
2 4
direct
0 0 0
0.5 0.5 0.5
0.25 0.25 0.25
0.75 0.75 0.25
0.75 0.25 0.75
0.25 0.75 0.82
"""
"""With one atom moved, so that its vectors do not cancel."""


@pytest.fixture(scope="module", params=["painn", "schnet"])
def network(request: pytest.FixtureRequest) -> SpectrumGNN:
    torch.manual_seed(0)
    settings = NetworkSettings(points={"S K": 7, "Cu K": 3}, body=request.param, width=16, radial=10, rounds=3, trunk=12)
    return SpectrumGNN(settings).eval()


def spectra(network: SpectrumGNN, *graphs: AtomGraph, edge: str = "S K") -> Tensor:
    with torch.inference_mode():
        return network.heads[edge](network(collate(graphs)))


def moved(graph: AtomGraph) -> AtomGraph:
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    return replace(graph, vectors=(graph.vectors @ turn).astype(np.float32))


def shuffled(graph: AtomGraph) -> AtomGraph:
    random = np.random.default_rng(3)
    order, edges = random.permutation(len(graph.numbers)), random.permutation(graph.edges.shape[1])
    place = np.argsort(order)
    return replace(
        graph,
        numbers=graph.numbers[order],
        features=graph.features[order],
        edges=place[graph.edges[:, edges]],
        vectors=graph.vectors[edges],
        absorbers=place[graph.absorbers],
    )


@pytest.mark.parametrize("change", [moved, shuffled])
@pytest.mark.parametrize("smiles", ["N[C@@H](CSSC[C@H](N)C(=O)O)C(=O)O", "CS(=O)(=O)CC[C@H](N)C(=O)O", "[S]"])
def test_rotation_and_order_of_atoms_do_not_matter(
    network: SpectrumGNN, graph: GraphOf, smiles: str, change: Callable[[AtomGraph], AtomGraph]
):
    found = graph(smiles)
    assert torch.allclose(spectra(network, found), spectra(network, change(found)), atol=2e-5)


def test_translation_does_not_matter(network: SpectrumGNN):
    near = np.array([[0, 0, 0], [1.8, 0, 0.1], [-0.4, 1.5, 0]])
    here, there = (crystal_graph(Crystal(np.array([16, 6, 8]), near + shift, 30 * np.eye(3)), "S") for shift in (0.0, 100.0))
    assert torch.allclose(spectra(network, here), spectra(network, there), atol=2e-5)


def test_what_else_is_in_the_batch_does_not_matter(network: SpectrumGNN, graph: GraphOf):
    graphs = [graph(smiles) for smiles in (*SMILES, "[S]")]
    together = spectra(network, *graphs)
    alone = torch.cat([spectra(network, each) for each in graphs])
    assert together.shape == (8, 9)  # spectrum, ionization energy, noise
    assert torch.allclose(together, alone, atol=1e-5)


def test_geometry_and_bonding_do_matter(network: SpectrumGNN, graph: GraphOf):
    found = graph("CSC")
    stretched = replace(found, vectors=found.vectors * np.float32(1.1))
    charged = replace(found, features=found.features + np.float32(0.5))
    for other in (stretched, charged):
        assert not torch.allclose(spectra(network, found), spectra(network, other), atol=1e-3)


def test_angles_matter_where_distances_are_equal():
    torch.manual_seed(0)
    network = SpectrumGNN(NetworkSettings(points={"S K": 7}, width=16, radial=10, rounds=1, trunk=12)).eval()
    bent, straight = (
        crystal_graph(Crystal(np.array([16, 6, 6]), np.array([[0, 0, 0], [1.8, 0, 0], last]), 30 * np.eye(3)), "S")
        for last in ([0, 1.8, 0], [-1.8, 0, 0])
    )
    assert not torch.allclose(spectra(network, bent), spectra(network, straight), atol=1e-4)


def test_an_isolated_atom_has_a_spectrum(network: SpectrumGNN, graph: GraphOf):
    found = spectra(network, graph("[S]"))
    assert found.shape == (1, 9)
    assert torch.isfinite(found).all()


def test_equal_absorbers_of_a_molecule_have_equal_spectra(network: SpectrumGNN, graph: GraphOf):
    first, second = spectra(network, graph("S=C=S"))
    assert torch.allclose(first, second, atol=1e-4)


def test_a_supercell_has_the_spectra_of_its_cell(network: SpectrumGNN):
    cell = read_crystal(Candidate("cuprite", CUPRITE, format="poscar"), "Cu")
    shifts = [[0.0, 0.0, 0.0], cell.cell[0], cell.cell[1], cell.cell[0] + cell.cell[1]]
    twice = Crystal(
        np.tile(cell.numbers, 4),
        np.concatenate([cell.positions + shift for shift in shifts]),
        cell.cell * np.array([[2.0], [2.0], [1.0]]),
    )
    one, other = (spectra(network, crystal_graph(each, "Cu"), edge="Cu K") for each in (cell, twice))
    assert one.shape == (4, 5)
    assert torch.allclose(one.repeat(4, 1), other, atol=2e-5)
    assert not torch.allclose(one[0], one[3], atol=1e-4)  # the moved atom


def test_mixed_precision_is_near(network: SpectrumGNN, graph: GraphOf):
    graphs = [graph(smiles) for smiles in SMILES]
    with torch.autocast("cpu", torch.bfloat16):
        mixed = spectra(network, *graphs).float()
    exact = spectra(network, *graphs)
    assert (mixed - exact).abs().max() < 0.1 * exact.abs().max()


def test_overfits_a_tiny_set(graph: GraphOf):
    torch.manual_seed(0)
    network = SpectrumGNN(NetworkSettings(points={"S K": 5}, width=32, radial=16, rounds=2, trunk=32, dropout=0.0))
    batch = collate([graph(smiles) for smiles in SMILES[:-1]])
    goal = torch.randn(len(SMILES) - 1, 7)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(200):
        loss = (network.heads["S K"](network(batch)) - goal).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        assert (network.heads["S K"](network(batch)) - goal).abs().mean() < 0.05 * goal.abs().mean()
