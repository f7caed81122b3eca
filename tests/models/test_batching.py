from collections.abc import Callable

import numpy as np
import torch

from xas_bluesky.models import by_atoms, collate
from xas_bluesky.structures import AtomGraph

GraphOf = Callable[..., AtomGraph]


def test_joined_graphs_keep_their_absorbers_and_stay_apart(graph: GraphOf):
    graphs = [graph(smiles) for smiles in ("CS", "[S]", "CSSC")]
    batch = collate(graphs)
    assert torch.equal(batch.numbers, torch.from_numpy(np.concatenate([each.numbers for each in graphs])))
    assert batch.numbers[batch.absorbers].tolist() == [16] * 4
    assert batch.absorbers.tolist() == [graphs[0].absorbers[0], 6, *(7 + graphs[2].absorbers)]
    owner = torch.repeat_interleave(torch.arange(3), torch.tensor([len(each.numbers) for each in graphs]))
    assert torch.equal(owner[batch.edges[0]], owner[batch.edges[1]])
    assert len(batch.vectors) == batch.edges.shape[1] == sum(each.edges.shape[1] for each in graphs)


def test_an_isolated_atom_has_no_edge(graph: GraphOf):
    batch = collate([graph("[S]")])
    assert tuple(batch.edges.shape) == (2, 0)
    assert tuple(batch.vectors.shape) == (0, 3)


def test_a_batch_moves_whole(graph: GraphOf):
    batch = collate([graph("CSSC")]).to(torch.device("meta"))
    assert {batch.numbers.device.type, batch.edges.device.type, batch.absorbers.device.type} == {"meta"}


def test_batches_are_full_in_order_and_come_as_their_structures_do(graph: GraphOf):
    taken: list[str] = []

    def structures():
        for smiles in ("CS", "CSC", "CSSC", "CCCCCCCCS", "CS"):
            taken.append(smiles)
            yield [graph(smiles)]

    batches = by_atoms(structures(), 15)
    first = next(batches)
    assert taken == ["CS", "CSC"]
    sizes = [[len(one.numbers) for (one,) in batch] for batch in [first, *batches]]
    assert sizes == [[6, 9], [10, 27], [6]]
    assert list(by_atoms(iter(()), 15)) == []
