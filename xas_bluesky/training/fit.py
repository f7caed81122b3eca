"""Train an ensemble on the sulfur set, each network on four fifths of it, and write it with its figures."""

import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console
from rich.progress import track
from torch_geometric.data import Batch

from xas_bluesky.edges import find_edge
from xas_bluesky.errors import SettingsError
from xas_bluesky.models import Ensemble, ModelCard, NetworkSettings, SpectrumGNN, collate, save
from xas_bluesky.models.batching import to_data
from xas_bluesky.models.continuum import kind_of
from xas_bluesky.prediction import Predictor
from xas_bluesky.spectra import Array
from xas_bluesky.structures import AtomGraph
from xas_bluesky.training.baselines import kernel_ridge, mean_spectrum
from xas_bluesky.training.dataset import (
    GAUSSIAN,
    GRID,
    LORENTZIAN,
    Example,
    data_folder,
    hash_data,
    load_sulfur_set,
    spectra_of,
)
from xas_bluesky.training.gap_fit import fit_gap, read_pairs, write_gap
from xas_bluesky.training.metrics import coverage, peak_within, relative_l1

RESIDUAL_FACTORS = 12
KIND_FACTORS = 6
KIND_SITES = 10
"""A kind of absorber with at least this many training sites is one that "none of these" may turn out to be."""


class TrainingSettings(BaseModel):
    """Set a training run; read from a TOML file.

    `measured`: a table of measured spectra of known compounds, to fit the gap of theory to, which is written to `gap`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    edge: str = "S K"
    data: Path = Field(default_factory=data_folder)
    output: Path
    measured: Path | None = None
    gap: Path | None = None
    networks: int = Field(5, ge=4)
    hidden: int = Field(64, ge=4)
    interactions: int = Field(2, ge=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    epochs: int = Field(150, ge=1)
    batch: int = Field(32, ge=1)
    rate: float = Field(5e-3, gt=0)
    seed: int = 0

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a TOML file; raises SettingsError that names the file and what is wrong in it."""
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read ({error.strerror}); give the path of a training file") from error
        except ValidationError as error:
            first = error.errors()[0]
            place, known = ".".join(str(part) for part in first["loc"]), ", ".join(cls.model_fields)
            raise SettingsError(f"{path}: {place}: {first['msg']}; the settings are {known}") from error
        except ValueError as error:
            raise SettingsError(f"{path}: is not valid TOML: {error}") from error


def train(settings: TrainingSettings, command: str) -> dict[str, float]:
    """Train, evaluate once on the held-out molecules, save; returns the figures. `command` is written down with them.

    Raises SettingsError for an edge without training data, and a data set that is broken or too small.
    """
    if (settings.measured is None) != (settings.gap is None):
        raise SettingsError("measured, gap: one without the other; give both, or neither")
    if str(find_edge(settings.edge)) != "S K":
        raise SettingsError(f"edge {settings.edge!r}: training data are shipped for 'S K' only")
    torch.set_num_threads(1)  # sums come out the same on any number of cores; the networks are too small to gain by more
    examples = load_sulfur_set(settings.data)
    parts = {part: [example for example in examples if example.part == part] for part in ("train", "test", "TEST")}
    known = [name for example in parts["train"] for name in example.graph.environments]
    environments = {name: known.count(name) for name in sorted(set(known))}
    if not all(parts.values()) or not _kinds(known) or len(parts["train"]) < settings.networks:
        raise SettingsError(
            f"{settings.data}: the set is too small; it must hold molecules of every part, {KIND_SITES} training "
            "molecules of one absorber environment, and no fewer than networks"
        )
    ensemble = fit_ensemble(parts["train"], settings)
    figures = {"train_molecules": float(len(parts["train"]))}
    for part in ("test", "TEST"):
        figures |= evaluate(ensemble, parts["train"], parts[part], "own_test" if part == "test" else "authors_test")
    card = ModelCard(
        edge=str(find_edge(settings.edge)),
        lorentzian=LORENTZIAN,
        gaussian=GAUSSIAN,
        settings=ensemble.networks[0].settings,
        networks=len(ensemble.networks),
        scale=ensemble.scale,
        elements=sorted({int(number) for example in parts["train"] for number in example.graph.numbers}),
        environments=environments,
        kinds=_kinds(known),
        data_hash=hash_data(settings.data),
        command=command,
        figures=figures,
    )
    save(settings.output, ensemble, card)
    if settings.measured is not None and settings.gap is not None:
        pairs = read_pairs(settings.measured, settings.edge, Predictor.from_folder(settings.output))
        write_gap(settings.gap, fit_gap(pairs, settings.edge), pairs)
    return figures


def fit_ensemble(examples: Sequence[Example], settings: TrainingSettings) -> Ensemble:
    """Fit one network per fold, each without its fold; what they err there is the residual error's covariance."""
    spectra = spectra_of(examples)
    center, scale = spectra.mean(axis=0), float(spectra.std(axis=0).mean())
    folds = np.random.default_rng(settings.seed).permutation(len(examples)) % settings.networks
    graphs = [example.graph for example in examples]
    networks: list[SpectrumGNN] = []
    residual = np.zeros_like(spectra)
    for fold in range(settings.networks):
        inside = np.flatnonzero(folds != fold)
        outside = np.flatnonzero(folds == fold)
        targets = ((spectra[inside] - center) / scale).astype(np.float32)
        network = fit_network([graphs[place] for place in inside], targets, settings, settings.seed + fold)
        networks.append(network)
        residual[outside] = spectra_by(network, [graphs[place] for place in outside]) * scale + center - spectra[outside]
    known = [example.graph.environments[0] for example in examples]
    kinds = [spectra[[kind_of(name) == kind for name in known]] for kind in _kinds(known)]
    return Ensemble(
        networks=tuple(networks),
        energy=GRID,
        center=center,
        scale=scale,
        residual=_factors(residual, RESIDUAL_FACTORS),
        kinds=np.array([kind.mean(axis=0) for kind in kinds]),
        kind_factors=np.array([_factors(kind - kind.mean(axis=0), KIND_FACTORS) for kind in kinds]),
    )


def evaluate(ensemble: Ensemble, train: Sequence[Example], test: Sequence[Example], name: str) -> dict[str, float]:
    """Return figures on molecules that nothing was fitted to, ours and the two baselines'."""
    spectra, graphs = spectra_of(test), [example.graph for example in test]
    predictions = np.array([spectra_by(net, graphs) for net in ensemble.networks]) * ensemble.scale + ensemble.center
    ours = predictions.mean(axis=0)
    std = np.sqrt(predictions.var(axis=0, ddof=1) + (ensemble.residual**2).sum(axis=0))
    figures = {
        "molecules": float(len(test)),
        "relative_l1": relative_l1(ours, spectra),
        "relative_l1_mean_spectrum": relative_l1(mean_spectrum(train, test), spectra),
        "relative_l1_kernel_ridge": relative_l1(kernel_ridge(train, test), spectra),
        "peak_within_1_eV": peak_within(ours, spectra, GRID, 1.0),
        "peak_within_0.5_eV": peak_within(ours, spectra, GRID, 0.5),
        "coverage_68": coverage(ours, std, spectra, 1.0),
        "coverage_95": coverage(ours, std, spectra, 1.96),
    }
    return {f"{name}_{key}": round(value, 4) for key, value in figures.items()}


def fit_network(graphs: Sequence[AtomGraph], targets: Array, settings: TrainingSettings, seed: int) -> SpectrumGNN:
    """Fit one network to scaled spectra (n, m), by the mean absolute error."""
    data = [to_data(graph) for graph in graphs]
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    network = SpectrumGNN(NetworkSettings(len(GRID), settings.hidden, 32, settings.interactions, settings.dropout))
    goal = torch.from_numpy(targets)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=1e-4)
    steps = settings.epochs * -(-len(data) // settings.batch)  # batches rounded up
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, steps, pct_start=0.15)
    for _ in track(range(settings.epochs), f"network {seed}", transient=True, console=Console(stderr=True)):
        network.train()
        order = random.permutation(len(data))
        for start in range(0, len(order), settings.batch):
            chosen = order[start : start + settings.batch]
            output = network(Batch.from_data_list([data[index] for index in chosen]))
            loss = (output - goal[chosen]).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
    return network.eval()


def spectra_by(network: SpectrumGNN, graphs: Sequence[AtomGraph]) -> Array:
    """Return one network's scaled spectra (sites, m)."""
    with torch.inference_mode():
        return network(collate(graphs)).numpy().astype(np.float64)


def _kinds(environments: Sequence[str]) -> list[str]:
    counts = Counter(kind_of(name) for name in environments)
    return sorted(kind for kind, count in counts.items() if count >= KIND_SITES)


def _factors(deviations: Array, count: int) -> Array:
    """Return (count, m) factors, the leading directions of the deviations (n, m), each as long as its part of the variance.

    Their squares sum to the deviations' mean square at each energy, less what the directions left out hold.
    """
    _, sizes, directions = np.linalg.svd(deviations / np.sqrt(len(deviations)), full_matrices=False)
    return sizes[:count, None] * directions[:count]
