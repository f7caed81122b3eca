"""The network: a structure's graph in, the spectrum of each of its absorbers out."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn.models.schnet import CFConv, GaussianSmearing, ShiftedSoftplus

from xas_bluesky.models.batching import CUTOFF
from xas_bluesky.structures.graphs import ATOM_FEATURES

HEAVIEST = 100


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """Set the size of the network; `points` is the length of the spectrum."""

    points: int
    hidden: int = 64
    gaussians: int = 32
    interactions: int = 3
    dropout: float = 0.1


class Interaction(nn.Module):
    """Pass one round of messages, each filtered by a function of the distance."""

    def __init__(self, hidden: int, gaussians: int) -> None:
        super().__init__()
        filters = nn.Sequential(nn.Linear(gaussians, hidden), ShiftedSoftplus(), nn.Linear(hidden, hidden))
        self.convolution = CFConv(hidden, hidden, hidden, filters, CUTOFF)
        self.update = nn.Sequential(ShiftedSoftplus(), nn.Linear(hidden, hidden))

    def forward(self, atoms: Tensor, edges: Tensor, distances: Tensor, filters: Tensor) -> Tensor:
        """Return what is added to each atom's state (atoms, hidden)."""
        return self.update(self.convolution(atoms, edges, distances, filters))


class SpectrumGNN(nn.Module):
    """Predict site spectra: readout of the absorber ∘ continuous-filter message passing ∘ atom embedding.

    The body is SchNet's (Schütt et al., J. Chem. Phys. 148, 241722, 2018, doi:10.1063/1.5019779); only distances enter,
    so rotation, translation and atom order do not matter. The readout is the absorbing atom's state, not the
    molecule's mean, because the spectrum is local.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        hidden = settings.hidden
        self.embedding = nn.Embedding(HEAVIEST, hidden)
        self.bonding = nn.Linear(ATOM_FEATURES, hidden, bias=False)
        self.distance = GaussianSmearing(0.0, CUTOFF, settings.gaussians)
        self.interactions = nn.ModuleList(Interaction(hidden, settings.gaussians) for _ in range(settings.interactions))
        states = hidden * (settings.interactions + 1)
        self.readout = nn.Sequential(
            nn.Linear(states, 2 * hidden), nn.SiLU(), nn.Dropout(settings.dropout), nn.Linear(2 * hidden, settings.points)
        )

    def forward(self, batch: Batch) -> Tensor:
        """Return (absorbers in the batch, points), in the order of the graphs and of the absorbers in each."""
        edges, distances, absorbers = batch["edge_index"], batch["distances"], batch["absorber_index"]
        atoms = self.embedding(batch["numbers"]) + self.bonding(batch["features"])
        filters = self.distance(distances)
        states = [atoms[absorbers]]
        for interaction in self.interactions:
            atoms = atoms + interaction(atoms, edges, distances, filters)
            states.append(atoms[absorbers])
        return self.readout(torch.cat(states, dim=-1))
