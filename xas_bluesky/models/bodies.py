"""The bodies a network can have: from a batch of graphs to the state of each absorber, by messages between neighbours."""

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from xas_bluesky.models.batching import GraphBatch
from xas_bluesky.structures.graphs import ATOM_FEATURES, CUTOFF, HEAVIEST

FIRST_RADIAL = 0.5
"""Å, where the first radial function is centred: less than any bond."""


class Neighbours(NamedTuple):
    """Hold pairs of atoms: indices (e,), unit vectors (e, 3) to the sender, radial functions (e, r)."""

    senders: Tensor
    receivers: Tensor
    directions: Tensor
    radial: Tensor

    def into(self, atoms: Tensor, count: int) -> Self:
        """Keep the pairs that end in `atoms`, of `count`; their receivers become places in `atoms`."""
        place = torch.full((count,), -1, device=atoms.device).index_copy_(
            0, atoms, torch.arange(len(atoms), device=atoms.device)
        )
        kept = (place[self.receivers] >= 0).nonzero()[:, 0]
        senders, receivers, directions, radial = (values[kept] for values in self)
        return type(self)(senders, place[receivers], directions, radial)


class PaiNNLayer(nn.Module):
    """Exchange scalars and vectors between neighbours, then mix them in each atom.

    Schütt, Unke, Gastegger, ICML 2021, arXiv 2102.03150. The first layer has no vectors to send yet.
    """

    def __init__(self, width: int, radial: int, *, first: bool) -> None:
        super().__init__()
        self.first = first
        sent = (2 if first else 3) * width
        self.send = two_layers(width, width, sent)
        self.filter = nn.Linear(radial, sent, bias=False)
        self.pair = nn.Linear(width, 2 * width, bias=False)
        self.mix = two_layers(2 * width, width, 3 * width)

    def forward(
        self, scalars: Tensor, vectors: Tensor | None, pairs: Neighbours, kept: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return scalars (k, width), vectors (k, 3, width) and lengths (k, width) of the atoms kept (all if None)."""
        width = scalars.shape[1]
        sent = self.send(scalars)[pairs.senders] * self.filter(pairs.radial)
        carried = sent[:, None, width : 2 * width] * pairs.directions[:, :, None]
        if vectors is not None:
            carried = torch.addcmul(carried, sent[:, None, 2 * width :], vectors[pairs.senders])
        scalars = scalars if kept is None else scalars[kept]
        scalars = scalars.index_add(0, pairs.receivers, sent[:, :width].to(scalars.dtype))
        if vectors is None:
            vectors = scalars.new_zeros(len(scalars), 3, width)
        elif kept is not None:
            vectors = vectors[kept]
        vectors = vectors.index_add(0, pairs.receivers, carried.to(vectors.dtype))
        one, other = self.pair(vectors).split(width, dim=-1)
        length = (other * other).sum(dim=1).add(1e-8).sqrt()
        added, product, scale = self.mix(torch.cat([scalars, length], dim=-1)).split(width, dim=-1)
        return scalars + added + product * (one * other).sum(dim=1), vectors + scale[:, None] * one, length


class SchNetLayer(nn.Module):
    """Exchange scalars, each filtered by a function of the distance.

    Schütt et al., J. Chem. Phys. 148, 241722 (2018), doi:10.1063/1.5019779.
    """

    def __init__(self, width: int, radial: int, *, first: bool) -> None:  # noqa: ARG002 the bodies are made alike
        super().__init__()
        self.filter = nn.Sequential(nn.Linear(radial, width, bias=False), nn.SiLU(), nn.Linear(width, width, bias=False))
        self.send = nn.Linear(width, width, bias=False)
        self.update = two_layers(width, width, width)

    def forward(
        self, scalars: Tensor, vectors: Tensor | None, pairs: Neighbours, kept: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return scalars (k, width) of the atoms kept (all if None), no vectors, and the sum of messages (k, width)."""
        sent = self.send(scalars)[pairs.senders] * self.filter(pairs.radial)
        scalars = scalars if kept is None else scalars[kept]
        received = torch.zeros_like(scalars).index_add(0, pairs.receivers, sent.to(scalars.dtype))
        return scalars + self.update(received), vectors, received


LAYERS = {"painn": PaiNNLayer, "schnet": SchNetLayer}


class Body(nn.Module):
    """Pass messages for some rounds; what comes out is each absorber's state after every round."""

    centers: Tensor

    def __init__(self, kind: str, width: int, radial: int, rounds: int) -> None:
        super().__init__()
        self.size = (rounds + 2) * width
        self.embedding = nn.Embedding(HEAVIEST + 1, width)
        self.bonding = nn.Linear(ATOM_FEATURES, width, bias=False)
        self.register_buffer("centers", torch.linspace(FIRST_RADIAL, CUTOFF, radial), persistent=False)
        self.layers = nn.ModuleList(LAYERS[kind](width, radial + 1, first=index == 0) for index in range(rounds))

    def forward(self, batch: GraphBatch) -> Tensor:
        """Return (absorbers in the batch, size), in the order of the graphs and of the absorbers in each."""
        scalars = self.embedding(batch.numbers) + self.bonding(batch.features)
        vectors = None
        pairs = self._neighbours(batch)
        states = [scalars[batch.absorbers]]
        for layer in self.layers[:-1]:
            scalars, vectors, _ = layer(scalars, vectors, pairs, None)
            states.append(scalars[batch.absorbers])
        # the others' last states would be read by no one
        last = pairs.into(batch.absorbers, len(batch.numbers))
        scalars, _, received = self.layers[-1](scalars, vectors, last, batch.absorbers)
        return torch.cat([*states, scalars, received], dim=-1)

    def _neighbours(self, batch: GraphBatch) -> Neighbours:
        senders, receivers = batch.edges
        distances = batch.vectors.norm(dim=1, keepdim=True)
        spacing = (CUTOFF - FIRST_RADIAL) / (len(self.centers) - 1)
        gaussians = torch.exp(-0.5 * ((distances - self.centers) / spacing) ** 2)
        envelope = 0.5 * (torch.cos(math.pi / CUTOFF * distances) + 1)
        radial = torch.cat([gaussians, torch.ones_like(distances)], dim=1) * envelope
        return Neighbours(senders, receivers, batch.vectors / distances, radial)


def two_layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Return a perceptron with one hidden layer."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))
