"""Compare predicting broadened spectra with predicting lines that can be broadened at will: python benchmarks/mixture_head.py.

The same body and data; one head gives the spectrum, the other the places, strengths and widths of lines on a background. Both
are compared with what was computed, as shipped and at 2 eV, where their spectra are smoothed.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn

from xas_bluesky.models import NetworkSettings, SpectrumGNN, collate
from xas_bluesky.spectra import FWHM
from xas_bluesky.training.examples import ENERGY, GAUSSIAN, Example, load_examples
from xas_bluesky.training.metrics import ratio_interval

DATA = [Path("datasets/core_excitations/qm9.parquet")]
EDGES = ("C K", "N K", "O K")
LINES = 40
EPOCHS, BATCH, RATE, STRUCTURES = 30, 16, 1e-3, 1000
COARSE = 2.0
GRID = torch.from_numpy(ENERGY["C K"]).float()


class Direct(nn.Module):
    """Read the spectrum."""

    def __init__(self, trunk: int, center: Tensor) -> None:
        super().__init__()
        self.center = center
        self.linear = nn.Linear(trunk, len(GRID))

    def forward(self, latent: Tensor) -> Tensor:
        """Return spectra (k, m)."""
        return self.center + self.linear(latent)


class Mixture(nn.Module):
    """Read lines: each near a place of its own, on a step at the ionization energy."""

    def __init__(self, trunk: int, center: Tensor) -> None:  # noqa: ARG002 the heads are made alike
        super().__init__()
        self.step = torch.sigmoid(GRID / 0.5)
        self.places = torch.linspace(float(GRID[0]) + 2, float(GRID[-1]), LINES)
        self.linear = nn.Linear(trunk, 3 * LINES + 1)
        with torch.no_grad():
            self.linear.bias[LINES : 2 * LINES] = -1.0

    def forward(self, latent: Tensor) -> Tensor:
        """Return spectra (k, m)."""
        shift, strength, width, height = self.linear(latent).split([LINES, LINES, LINES, 1], dim=1)
        at = self.places + torch.tanh(shift)
        sigma = GAUSSIAN["C K"] / FWHM + nn.functional.softplus(width - 1)
        signed = nn.functional.softplus(strength) * torch.where(at < 0, 1.0, torch.tanh(strength))
        lines = torch.exp(-0.5 * ((GRID - at[..., None]) / sigma[..., None]) ** 2)
        return (signed[..., None] * lines).sum(dim=1) + (1 + 0.1 * height) * self.step


def train(head: type[Direct] | type[Mixture], examples: Sequence[Example]) -> tuple[SpectrumGNN, dict[str, nn.Module]]:
    """Train the body with one kind of head."""
    torch.manual_seed(0)
    network = SpectrumGNN(NetworkSettings(points=dict.fromkeys(EDGES, 1)))
    heads: dict[str, nn.Module] = {}
    for edge in EDGES:
        spectra = np.concatenate([example.targets[edge].spectra for example in examples if edge in example.targets])
        heads[edge] = head(network.settings.trunk, torch.from_numpy(spectra.mean(axis=0)).float())
    parameters = [*network.parameters(), *(weight for each in heads.values() for weight in each.parameters())]
    optimizer = torch.optim.AdamW(parameters, RATE)
    steps = EPOCHS * -(-len(examples) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.1)
    random = np.random.default_rng(0)
    for _ in range(EPOCHS):
        order = random.permutation(len(examples))
        for start in range(0, len(order), BATCH):
            chosen = [examples[index] for index in order[start : start + BATCH]]
            found = [(heads[edge](latent), spectra) for edge, latent, spectra in states(network, chosen)]
            loss = torch.cat([(predicted - spectra).abs().mean(dim=1) for predicted, spectra in found]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()
    return network, heads


def states(network: SpectrumGNN, examples: Sequence[Example]) -> list[tuple[str, Tensor, Tensor]]:
    """Return by edge the latent states of the absorbers, and their computed spectra."""
    latent = network(collate([example.predicted for example in examples]))
    starts = np.cumsum([0, *(len(example.predicted.absorbers) for example in examples)])
    found: list[tuple[str, Tensor, Tensor]] = []
    for edge in EDGES:
        having = [
            (example.targets[edge], start) for example, start in zip(examples, starts, strict=False) if edge in example.targets
        ]
        if having:
            rows = np.concatenate([targets.rows + start for targets, start in having])
            spectra = np.concatenate([targets.spectra for targets, _ in having])
            found.append((edge, latent[torch.from_numpy(rows)], torch.from_numpy(spectra).float()))
    return found


def errors(
    network: SpectrumGNN, heads: dict[str, nn.Module], examples: Sequence[Example], extra: float
) -> dict[str, np.ndarray]:
    """Return the summed errors and spectra (2, sites) by edge, both smoothed by `extra` eV (full width at half maximum)."""
    sums: dict[str, list[np.ndarray]] = {edge: [] for edge in EDGES}
    sigma = extra / FWHM / float(GRID[1] - GRID[0])
    with torch.inference_mode():
        for start in range(0, len(examples), BATCH):
            for edge, latent, spectra in states(network, examples[start : start + BATCH]):
                both = [
                    gaussian_filter1d(each.numpy(), sigma, mode="nearest") if extra else each.numpy()
                    for each in (heads[edge](latent), spectra)
                ]
                sums[edge].append(np.array([np.abs(both[0] - both[1]).sum(axis=1), both[1].sum(axis=1)]))
    return {edge: np.concatenate(parts, axis=1) for edge, parts in sums.items()}


def main() -> None:
    """Train both, and print one line for each edge and resolution."""
    torch.set_num_threads(1)
    examples = [example.only(EDGES) for example in load_examples(DATA)]
    trained = {
        head.__name__: train(head, [e for e in examples if e.part == "train"][:STRUCTURES]) for head in (Direct, Mixture)
    }
    validation = [example for example in examples if example.part == "validation"]
    for extra in (0.0, float(np.sqrt(COARSE**2 - GAUSSIAN["C K"] ** 2))):
        found = {name: errors(*both, validation, extra) for name, both in trained.items()}
        for edge in EDGES:
            ratio = ratio_interval(found["Mixture"][edge][0], found["Direct"][edge][0])
            relative = {name: round(float(of[edge][0].sum() / of[edge][1].sum()), 4) for name, of in found.items()}
            row = {
                "edge": edge,
                "resolution": COARSE if extra else GAUSSIAN[edge],
                **relative,
                "mixture / direct": [round(r, 3) for r in ratio],
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
