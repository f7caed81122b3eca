"""Train the networks of an ensemble, each from where it was when the last run ended."""

import json
import os
import sys
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path

import numpy as np
import pytorch_lightning as lightning
import torch
from joblib import Parallel, delayed
from pytorch_lightning.callbacks import ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader

from xas_bluesky.errors import SettingsError
from xas_bluesky.models import NetworkSettings, Scaling, SpectrumGNN
from xas_bluesky.training.examples import ENERGY, Example
from xas_bluesky.training.settings import TrainingSettings
from xas_bluesky.training.spectrum_module import Draws, SpectrumModule, make_batch

LARGEST_GRADIENT = 5.0
"""Norm to which a larger gradient is cut."""
FREE = ("parallel", "output", "work", "measured", "gap", "compile")
"""Settings that a training may go on with otherwise than it began."""


def fit_scalings(examples: Sequence[Example]) -> dict[str, Scaling]:
    """Fit the scaling of each edge that the examples have."""
    scalings: dict[str, Scaling] = {}
    for edge, energy in ENERGY.items():
        if targets := [example.targets[edge] for example in examples if edge in example.targets]:
            spectra = np.concatenate([found.spectra for found in targets])
            scalings[edge] = Scaling.fit(energy, spectra, np.concatenate([found.ionization for found in targets]))
    return scalings


def train_networks(
    examples: Sequence[Example], settings: TrainingSettings, data: dict[str, str], devices: int
) -> list[SpectrumGNN]:
    """Train the networks on these examples; those that an earlier run finished are read, and one that it began goes on.

    `data`: hashes of the data by file. Raises SettingsError where the work folder holds a run of other settings or data.
    """
    _check_same(settings, data)
    scalings = fit_scalings(examples)
    network = NetworkSettings(
        points={edge: len(scaling.energy) for edge, scaling in scalings.items()},
        body=settings.body,
        radial=settings.radial,
        width=settings.width,
        rounds=settings.rounds,
        trunk=settings.trunk,
        dropout=settings.dropout,
    )
    missing = [index for index in range(settings.networks) if not _finished(settings.work, index).exists()]
    fit = partial(_fit, examples, scalings, network, settings, devices)
    Parallel(n_jobs=min(settings.parallel, len(missing) or 1))(delayed(fit)(index) for index in missing)
    networks: list[SpectrumGNN] = []
    for index in range(settings.networks):
        trained = SpectrumGNN(network)
        trained.load_state_dict(load_file(_finished(settings.work, index)))
        networks.append(trained.eval())
    return networks


def _fit(
    examples: Sequence[Example],
    scalings: dict[str, Scaling],
    network: NetworkSettings,
    settings: TrainingSettings,
    devices: int,
    index: int,
) -> None:
    if settings.parallel > 1:
        torch.set_num_threads(1)
    lightning.seed_everything(settings.seed + index, verbose=False)
    module = SpectrumModule(network, scalings, edge_weights(examples, scalings), settings)
    folder = settings.work / f"network-{index}"
    checkpoint = ModelCheckpoint(folder, filename="last", enable_version_counter=False)
    with warnings.catch_warnings(), _reporting_on_stderr():
        # its advice: more loader processes, fewer log lines
        warnings.filterwarnings("ignore", category=UserWarning, module="pytorch_lightning")
        warnings.filterwarnings("ignore", category=FutureWarning)
        trainer = lightning.Trainer(
            max_epochs=settings.epochs,
            accelerator="auto",
            devices=devices,
            strategy="ddp_spawn_find_unused_parameters_true" if devices > 1 else "auto",
            precision=settings.precision,
            gradient_clip_val=LARGEST_GRADIENT,
            logger=CSVLogger(settings.work, name="", version=f"network-{index}"),
            callbacks=[checkpoint, TQDMProgressBar(refresh_rate=10)],
            enable_model_summary=False,
            log_every_n_steps=10,
        )
        draws = Draws(examples, settings.crystals)
        loader = DataLoader(draws, settings.batch, shuffle=True, collate_fn=partial(make_batch, scalings=scalings))
        last = folder / "last.ckpt"
        trainer.fit(module, loader, ckpt_path=last if last.exists() else None)
    state = {name: value.detach().cpu().contiguous() for name, value in module.network.state_dict().items()}
    finished = _finished(settings.work, index)
    partial_file = finished.with_suffix(".part")
    save_file(state, partial_file)
    partial_file.replace(finished)  # whole or not at all


@contextmanager
def _reporting_on_stderr() -> Generator[None]:
    """Send what Lightning and the processes that it starts report to stderr: standard output is for the figures."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def edge_weights(examples: Sequence[Example], scalings: dict[str, Scaling]) -> dict[str, float]:
    """Return what an absorber of each edge counts for: less where there are many, by the square root, and 1 on average."""
    counts = {
        edge: sum(len(example.targets[edge].rows) for example in examples if edge in example.targets) for edge in scalings
    }
    total = sum(counts.values()) / sum(np.sqrt(count) for count in counts.values())
    return {edge: float(total / np.sqrt(count)) for edge, count in counts.items()}


def _finished(work: Path, index: int) -> Path:
    return work / f"network-{index}.safetensors"


def _check_same(settings: TrainingSettings, data: dict[str, str]) -> None:
    told = {name: value for name, value in settings.model_dump(mode="json").items() if name not in FREE}
    text = json.dumps({"settings": told, "data": data}, indent=1, sort_keys=True)
    path = settings.work / "run.json"
    if path.exists() and path.read_text() != text:
        raise SettingsError(
            f"{settings.work}: it holds a training with other settings or data ({path.name} says which); name another "
            "folder as work, or remove it"
        )
    settings.work.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
