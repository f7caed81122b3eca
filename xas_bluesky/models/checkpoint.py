"""Model weights on disk: arrays as safetensors, all else as JSON; loading runs no code from them."""

import hashlib
import json
import textwrap
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from xas_bluesky.errors import ModelError
from xas_bluesky.models.ensemble import Ensemble
from xas_bluesky.models.spectrum_gnn import NetworkSettings, SpectrumGNN
from xas_bluesky.spectra import Array

FORMAT = "xas_bluesky ensemble 1"
ARRAYS = ("energy", "center", "residual", "kinds", "kind_factors")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Say what a model is: edge, broadening (eV, full width at half maximum), what it was trained on, and its figures.

    `elements`: atomic numbers in the training set; `environments`: training sites per absorber environment; `kinds`: the
    kinds of absorber that "none of these" may be.
    """

    edge: str
    lorentzian: float
    gaussian: float
    settings: NetworkSettings
    networks: int
    scale: float
    elements: list[int]
    environments: dict[str, int]
    kinds: list[str]
    data_hash: str
    command: str
    figures: dict[str, float]


def save(folder: Path, ensemble: Ensemble, card: ModelCard) -> None:
    """Write `weights.safetensors` and `model.json` into a folder, made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: torch.from_numpy(np.asarray(getattr(ensemble, name), dtype=np.float32)) for name in ARRAYS}
    for index, network in enumerate(ensemble.networks):
        tensors |= {f"{index}.{name}": value.contiguous() for name, value in network.state_dict().items()}
    save_file(tensors, folder / "weights.safetensors")
    (folder / "model.json").write_text(json.dumps({"format": FORMAT, **asdict(card)}, indent=1, sort_keys=True) + "\n")


def load(folder: Path) -> tuple[Ensemble, ModelCard]:
    """Read a model that `save` wrote.

    Raises ModelError when files are missing or broken, or are not this package's.
    """
    try:
        described = json.loads((folder / "model.json").read_text())
        if not isinstance(described, dict) or described.pop("format", None) != FORMAT:
            raise ModelError(f"{folder / 'model.json'}: not a model of the format {FORMAT!r}; train it again")
        card = TypeAdapter(ModelCard).validate_python(described)
        tensors = load_file(folder / "weights.safetensors")
        networks = tuple(_network(card.settings, tensors, index) for index in range(card.networks))
        arrays = {name: tensors[name].numpy().astype(np.float64) for name in ARRAYS}
        _check(card, arrays)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = textwrap.shorten(str(error), 200)
        raise ModelError(f"{folder}: the model cannot be read ({reason}); install the package again or train it") from error
    return Ensemble(networks=networks, scale=card.scale, **arrays), card


def _check(card: ModelCard, arrays: dict[str, Array]) -> None:
    kinds, points = len(card.kinds), card.settings.points
    shapes: dict[str, tuple[int, ...]] = {
        "energy": (points,),
        "center": (points,),
        "residual": (-1, points),
        "kinds": (kinds, points),
        "kind_factors": (kinds, -1, points),
    }
    for name, shape in shapes.items():
        found = arrays[name].shape
        if len(found) != len(shape) or any(size not in (length, -1) for length, size in zip(found, shape, strict=True)):
            raise ValueError(f"{name} has the shape {found}, expected {shape}")
    if not arrays["energy"][0] < 0 < arrays["energy"][-1]:
        raise ValueError("energy does not count from the ionization energy")
    if card.networks < 2 or kinds < 1:
        raise ValueError(f"{card.networks} networks and {kinds} kinds of spectra, expected at least 2 and 1")


def _network(settings: NetworkSettings, tensors: dict[str, Tensor], index: int) -> SpectrumGNN:
    network = SpectrumGNN(settings)
    prefix = f"{index}."
    network.load_state_dict({key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)})
    return network.eval()


def hash_files(folder: Path) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a model's two files."""
    digest = hashlib.sha256()
    for name in ("model.json", "weights.safetensors"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:16]
