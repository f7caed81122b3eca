"""Several networks trained on different parts of the data, asked together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from xas_bluesky.models.batching import collate
from xas_bluesky.models.spectrum_gnn import SpectrumGNN
from xas_bluesky.spectra import Array
from xas_bluesky.structures import AtomGraph


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Hold trained networks with what makes spectra of their outputs.

    `energy` (m,) eV from the ionization energy; `center` (m,) and `scale`: a spectrum is center + scale · output, in atomic
    edge jumps; `residual` (r, m): factors of the error's covariance, from molecules that the network had not seen;
    `kinds` (k, m) and `kind_factors` (k, q, m): mean and spread of the training spectra of each kind of absorber.
    """

    networks: tuple[SpectrumGNN, ...]
    energy: Array
    center: Array
    scale: float
    residual: Array
    kinds: Array
    kind_factors: Array

    def predict(self, graphs: Sequence[AtomGraph]) -> Array:
        """Return site spectra (networks, absorbers of all graphs, m), the continuum not yet in them."""
        batch = collate(graphs)
        with torch.inference_mode():
            outputs = [network.eval()(batch).numpy() for network in self.networks]
        return self.center + self.scale * np.array(outputs, dtype=np.float64)


def by_molecule(graphs: Sequence[AtomGraph]) -> list[NDArray[np.int64]]:
    """Return for each graph the rows of its absorbers in the network's output."""
    ends = np.cumsum([len(graph.absorbers) for graph in graphs])
    return [np.arange(end - len(graph.absorbers), end) for graph, end in zip(graphs, ends, strict=True)]
