"""Several networks, asked together, and what makes spectra with errors of their answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from xas_bluesky.models.batching import GraphBatch
from xas_bluesky.models.error_model import ErrorModel
from xas_bluesky.models.scaling import Scaling, Sites
from xas_bluesky.models.spectrum_gnn import SpectrumGNN
from xas_bluesky.spectra import Array


@dataclass(frozen=True, slots=True)
class Population:
    """Hold the kinds of spectra that the training structures have at one edge, in atomic edge jumps.

    `energy` (p,) eV, where spectra are predicted; `mean` (n, p) and `factors` (n, r, p) of the covariance within each kind;
    `ionization` (n,) eV.
    """

    energy: Array
    mean: Array
    factors: Array
    ionization: Array


@dataclass(frozen=True, slots=True)
class EdgeModel:
    """Hold what is known of one edge beside the networks."""

    scaling: Scaling
    errors: ErrorModel
    population: Population


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Hold at least two trained networks and, by edge, what makes spectra of their outputs."""

    networks: tuple[SpectrumGNN, ...]
    edges: dict[str, EdgeModel]

    def to(self, device: torch.device) -> "Ensemble":
        """Move the networks to a device; returns the ensemble."""
        for network in self.networks:
            network.to(device)
        return self

    def sites(self, batch: GraphBatch, edge: str) -> tuple[Sites, Array]:
        """Return what is said of the absorbers (k,), all of one edge, and their distances (k,) from the training set."""
        outputs, latent = ask(self.networks, batch, edge)
        model = self.edges[edge]
        return model.scaling.sites(outputs), model.errors.distance(latent)


def ask(networks: Sequence[SpectrumGNN], batch: GraphBatch, edge: str) -> tuple[Array, Array]:
    """Return the networks' outputs (networks, k, m + 2) at the absorbers, and the first one's latent states (k, trunk)."""
    with torch.inference_mode():
        latent = [network(batch) for network in networks]
        outputs = [network.heads[edge](states) for network, states in zip(networks, latent, strict=True)]
    return torch.stack(outputs).double().cpu().numpy(), latent[0].double().cpu().numpy()
