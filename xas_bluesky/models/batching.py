"""Join graphs into one batch for the network."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from xas_bluesky.structures import AtomGraph

CUTOFF = 5.0
"""Atoms farther apart than this (Å) exchange no message."""


def to_data(graph: AtomGraph) -> Data:
    """Turn one graph into PyTorch Geometric's form, its neighbours found within CUTOFF."""
    positions = torch.from_numpy(graph.positions)
    distances = torch.cdist(positions, positions)
    near = (distances < CUTOFF) & ~torch.eye(len(positions), dtype=torch.bool)
    edges: Tensor = near.nonzero().T.contiguous()
    return Data(
        numbers=torch.from_numpy(graph.numbers),
        features=torch.from_numpy(graph.features),
        edge_index=edges,
        distances=distances[edges[0], edges[1]],
        absorber_index=torch.from_numpy(graph.absorbers),  # "_index": shifted with the atoms when graphs are joined
        num_nodes=len(positions),
    )


def collate(graphs: Sequence[AtomGraph]) -> Batch:
    """Join graphs into one disconnected graph."""
    return Batch.from_data_list([to_data(graph) for graph in graphs])
