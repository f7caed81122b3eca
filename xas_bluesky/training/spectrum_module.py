"""One network's training, as PyTorch Lightning runs it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from torch import Tensor
from torch.utils.data import Dataset

from xas_bluesky.models import GraphBatch, NetworkSettings, Scaling, SpectrumGNN, collate
from xas_bluesky.training.examples import Example
from xas_bluesky.training.settings import TrainingSettings

WEIGHT_DECAY = 1e-4
WARM_UP = 0.1
"""Part of the steps in which the learning rate rises."""
NOISE_WEIGHT = 0.05
"""Of the networks' guess of their own error: too little to change what else they learn."""


@dataclass(frozen=True, slots=True)
class EdgeBatch:
    """Hold the absorbers of one edge: places among all (k,), scaled spectra (k, m) and ionization energies (k,)."""

    places: Tensor
    spectra: Tensor
    ionization: Tensor


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Hold joined graphs and their targets by edge."""

    graphs: GraphBatch
    edges: dict[str, EdgeBatch]

    def to(self, device: torch.device) -> "TrainingBatch":
        """Return the batch on a device."""
        moved = {
            edge: EdgeBatch(of.places.to(device), of.spectra.to(device), of.ionization.to(device))
            for edge, of in self.edges.items()
        }
        return TrainingBatch(self.graphs.to(device), moved)


class Draws(Dataset[tuple[Example, int]]):
    """Draw examples with one of their geometries: every molecule, and a part of the crystals, once in an epoch."""

    def __init__(self, examples: Sequence[Example], crystals: float) -> None:
        molecules = [[example] for example in examples if len(example.graphs) > 1]
        others = [example for example in examples if len(example.graphs) == 1]
        groups = max(1, round(crystals * len(others))) if others else 0
        self.groups = [*molecules, *(others[start::groups] for start in range(groups))]

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> tuple[Example, int]:
        group = self.groups[index]
        example = group[int(torch.randint(len(group), ()))]
        return example, int(torch.randint(len(example.graphs), ()))


def make_batch(drawn: Sequence[tuple[Example, int]], scalings: dict[str, Scaling]) -> TrainingBatch:
    """Join drawn examples, and scale their targets."""
    graphs = [example.graphs[geometry] for example, geometry in drawn]
    starts = np.cumsum([0, *(len(graph.absorbers) for graph in graphs)])
    edges: dict[str, EdgeBatch] = {}
    for edge, scaling in scalings.items():
        found = [
            (example.targets[edge], start)
            for (example, _), start in zip(drawn, starts, strict=False)
            if edge in example.targets
        ]
        if found:
            spectra, ionization = scaling.scaled(
                np.concatenate([targets.spectra for targets, _ in found]),
                np.concatenate([targets.ionization for targets, _ in found]),
            )
            places = np.concatenate([targets.rows + start for targets, start in found])
            edges[edge] = EdgeBatch(
                torch.from_numpy(places), torch.from_numpy(spectra).float(), torch.from_numpy(ionization).float()
            )
    return TrainingBatch(collate(graphs), edges)


class SpectrumModule(lightning.LightningModule):
    """Fit one network by the mean absolute error of its scaled spectra, elements with few absorbers counting for more."""

    def __init__(
        self, network: NetworkSettings, scalings: dict[str, Scaling], weights: dict[str, float], settings: TrainingSettings
    ) -> None:
        super().__init__()
        self.network = SpectrumGNN(network)
        self.scalings = scalings
        self.weights = weights
        self.settings_ = settings
        # in a list, so that checkpoints do not depend on whether it is compiled
        self._body: list[Any] = [torch.compile(self.network.body, dynamic=True) if settings.compile else self.network.body]

    def training_step(self, batch: TrainingBatch, _index: int) -> Tensor:
        """Return the loss."""
        latent = self.network.trunk(self._body[0](batch.graphs))
        losses = [
            self._loss(latent, edge, targets) * self.weights[edge] * len(targets.places)
            for edge, targets in batch.edges.items()
        ]
        loss = torch.stack(losses).sum() / sum(len(targets.places) for targets in batch.edges.values())
        self.log("loss", loss.detach(), prog_bar=True, on_step=False, on_epoch=True, batch_size=len(batch.graphs.absorbers))
        return loss

    def _loss(self, latent: Tensor, edge: str, targets: EdgeBatch) -> Tensor:
        settings, step = self.settings_, self.scalings[edge].step
        outputs = self.network.heads[edge](latent[targets.places])
        off, noise = outputs[:, :-2] - targets.spectra, outputs[:, -1]
        error = off.abs().mean(dim=1)
        loss = error.mean() + settings.ionization * (outputs[:, -2] - targets.ionization).abs().mean()
        if settings.cumulative:
            loss = loss + settings.cumulative * (off.cumsum(dim=1) * step).abs().mean()
        if settings.derivative:
            loss = loss + settings.derivative * (off.diff(dim=1) / step).abs().mean()
        # a Laplace distribution's width, for errors taken as they are
        return loss + NOISE_WEIGHT * (noise + error.detach() * torch.exp(-noise)).mean()

    def configure_optimizers(self) -> Any:
        """Return AdamW with one cycle of the learning rate."""
        rate = self.settings_.rate
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=WARM_UP)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: TrainingBatch, device: torch.device, dataloader_idx: int) -> TrainingBatch:  # noqa: ARG002
        """Move a batch of ours, which Lightning does not know how to move."""
        return batch.to(device)
