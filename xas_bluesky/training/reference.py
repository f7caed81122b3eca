"""Train the reference model, which ours is measured against, on the same molecules."""

import copy
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from tqdm import tqdm

from xas_bluesky.candidates import Candidate
from xas_bluesky.models.low_rank import low_rank
from xas_bluesky.models.message_passing import MessagePassing, MessagePassingSettings, bond_graph
from xas_bluesky.models.reference_model import ReferenceEdge, ReferenceModel
from xas_bluesky.spectra import Array
from xas_bluesky.structures import place_molecule
from xas_bluesky.training.error_fit import RANK
from xas_bluesky.training.examples import MOLECULAR, Example
from xas_bluesky.training.networks import fit_scalings
from xas_bluesky.training.populations import computed_spectra, predicted_energies
from xas_bluesky.training.spectrum_module import WARM_UP, WEIGHT_DECAY

FEW = 128
"""So many graphs are made here sooner than other processes start."""


def train_reference(
    train: Sequence[Example],
    validation: Sequence[Example],
    edges: Sequence[str],
    epochs: int = 100,
    batch: int = 32,
    rate: float = 2e-3,
    hidden: int = 64,
    seed: int = 0,
) -> ReferenceModel:
    """Train one network for each of these edges, and take its errors from the validation molecules.

    The spectra are molecules', on the absolute energies that our model predicts at; the geometries are those that a prediction
    makes. Of the network's states after each epoch that with the least validation error is kept. Only molecules have
    bonds to read: a material's identifier raises CandidateError. Progress is shown on stderr.
    """
    graphs = bond_graphs([example for example in [*train, *validation] if set(edges) & set(example.targets)])
    models: dict[str, ReferenceEdge] = {}
    for edge in edges:
        learned, held = ([example for example in part if edge in example.targets] for part in (train, validation))
        scaling = fit_scalings(learned)[edge]
        energy = predicted_energies(scaling, np.concatenate([example.targets[edge].ionization for example in learned]))
        spectra, others = (computed_spectra(part, edge, scaling, energy) for part in (learned, held))
        center = spectra.mean(axis=0)
        scale = float(np.abs(spectra - center).mean())
        torch.manual_seed(seed)
        network = MessagePassing(MessagePassingSettings(points=len(energy), hidden=hidden))
        taught, tested = (
            [_with_goal(graphs[example.label], goal) for example, goal in zip(part, (goals - center) / scale, strict=True)]
            for part, goals in ((learned, spectra), (held, others))
        )
        outputs = _fit(network, taught, tested, epochs, batch, rate, edge)
        residual, rest = low_rank((center + scale * outputs - others) / np.sqrt(len(others)), RANK)
        models[edge] = ReferenceEdge(network, energy, center, scale, residual, rest)
    return ReferenceModel(models)


def bond_graphs(examples: Sequence[Example]) -> dict[str, Data]:
    """Make the graphs of molecules, by their SMILES, on all cores, in the geometry that a prediction makes."""
    labels = sorted({example.label for example in examples})
    made: Any = Parallel(n_jobs=-1 if len(labels) > FEW else 1)(delayed(bond_graph_of)(label) for label in labels)
    return dict(zip(labels, made, strict=True))


def bond_graph_of(smiles: str) -> Data:
    """Make the graph of a molecule's bonds in the geometry that a prediction makes."""
    return bond_graph(place_molecule(Candidate(smiles, smiles), *MOLECULAR))


def _with_goal(graph: Data, goal: Array) -> Data:
    return Data(graph["x"], graph["edge_index"], graph["edge_attr"], y=torch.from_numpy(goal[None]).float())


def _fit(
    network: MessagePassing, taught: list[Data], tested: list[Data], epochs: int, batch: int, rate: float, edge: str
) -> Array:
    """Fit the network by the mean absolute error, on a GPU if there is one; returns its outputs (n, p) for `tested`.

    It ends in the state after the epoch that left the least error on `tested`, on the CPU.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device)
    held: Any = Batch.from_data_list([*tested])
    held = held.to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)
    loader = DataLoader(taught, batch, shuffle=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs * len(loader), pct_start=WARM_UP)
    least, best, outputs = np.inf, network.state_dict(), held["y"]
    progress = tqdm(range(epochs), desc=f"reference {edge}", unit="epoch", file=sys.stderr)
    for _ in progress:
        network.train()
        for joined in loader:
            loss = (network(joined.to(device)) - joined["y"].to(device)).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.inference_mode():
            found = network(held)
            error = float((found - held["y"]).abs().mean())
        progress.set_postfix(validation=f"{error:.3f}")
        if error < least:
            least, best, outputs = error, copy.deepcopy(network.state_dict()), found
    network.load_state_dict(best)
    network.cpu()
    return outputs.double().cpu().numpy()
