"""Join graphs into one batch for the networks."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from xas_bluesky.structures import AtomGraph


@dataclass(frozen=True, slots=True)
class GraphBatch:
    """Hold several graphs as one disconnected graph; the fields are AtomGraph's, one graph after the other."""

    numbers: Tensor
    features: Tensor
    edges: Tensor
    vectors: Tensor
    absorbers: Tensor

    def to(self, device: torch.device) -> "GraphBatch":
        """Return the batch on a device."""
        return GraphBatch(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))


def collate(graphs: Sequence[AtomGraph]) -> GraphBatch:
    """Join graphs into one batch."""
    starts = np.cumsum([0, *(len(graph.numbers) for graph in graphs)])

    def joined(name: str, *, axis: int = 0, shifted: bool = False) -> Tensor:
        parts = [getattr(graph, name) + (start if shifted else 0) for graph, start in zip(graphs, starts, strict=False)]
        return torch.from_numpy(np.concatenate(parts, axis=axis))

    return GraphBatch(
        numbers=joined("numbers"),
        features=joined("features"),
        edges=joined("edges", axis=1, shifted=True),
        vectors=joined("vectors"),
        absorbers=joined("absorbers", shifted=True),
    )


def by_atoms(structures: Iterable[list[AtomGraph]], most: int) -> Generator[list[list[AtomGraph]]]:
    """Part structures, each of one graph or more, into batches of about `most` atoms, in order and as they come."""
    batch: list[list[AtomGraph]] = []
    atoms = 0
    for graphs in structures:
        batch.append(graphs)
        atoms += sum(len(graph.numbers) for graph in graphs)
        if atoms >= most:
            yield batch
            batch, atoms = [], 0
    if batch:
        yield batch
