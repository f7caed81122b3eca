from collections.abc import Callable

import numpy as np
import torch

from xas_bluesky.models import collate
from xas_bluesky.models.batching import CUTOFF, to_data
from xas_bluesky.structures import AtomGraph


def test_edges_join_the_atoms_within_the_cutoff_both_ways(graph: Callable[[str], AtomGraph]):
    found = graph("CCCCCCCCS")
    distances = np.linalg.norm(found.positions[:, None] - found.positions, axis=-1)
    expected = {(i, j) for i, j in zip(*np.nonzero(distances < CUTOFF), strict=True) if i != j}
    data = to_data(found)
    edges = data["edge_index"].numpy()
    assert {tuple(edge) for edge in edges.T} == expected
    assert len(expected) < len(found.numbers) * (len(found.numbers) - 1)
    assert np.allclose(data["distances"].numpy(), distances[edges[0], edges[1]], atol=1e-4)


def test_an_isolated_atom_has_no_edge(graph: Callable[[str], AtomGraph]):
    data = to_data(graph("[S]"))
    assert tuple(data["edge_index"].shape) == (2, 0)
    assert len(data["distances"]) == 0


def test_joined_graphs_keep_their_absorbers_and_stay_apart(graph: Callable[[str], AtomGraph]):
    graphs = [graph(smiles) for smiles in ("CS", "[S]", "CSSC")]
    batch = collate(graphs)
    numbers, absorbers = batch["numbers"], batch["absorber_index"]
    assert torch.equal(numbers, torch.from_numpy(np.concatenate([each.numbers for each in graphs])))
    assert numbers[absorbers].tolist() == [16] * 4
    assert absorbers.tolist() == [graphs[0].absorbers[0], 6, *(7 + graphs[2].absorbers)]
    owner = batch.batch
    assert torch.equal(owner[batch["edge_index"][0]], owner[batch["edge_index"][1]])
